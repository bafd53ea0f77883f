"""From a corpus and a model to the tables of every unit: one pass, bounded memory, resumable."""
