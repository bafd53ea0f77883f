"""What `python -m earmark COMMAND` does: one room a kind of command, and the words that people type."""
