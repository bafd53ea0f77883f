"""Formulas over batches, used live and offline alike."""
