"""What exists, where it lies, and how it is read. No torch here, so that a link opens without a model."""
