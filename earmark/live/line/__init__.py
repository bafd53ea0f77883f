"""The line for the model, sounds on their way to it, and what is kept of a visit."""
