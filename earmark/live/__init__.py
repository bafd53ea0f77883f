"""One visitor's question, answered now."""
