"""Units turned up, down or off, and what the model then hears or expects."""
