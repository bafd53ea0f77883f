"""Hours of work, resumable: corpora, activations, training, tables and their checks."""
