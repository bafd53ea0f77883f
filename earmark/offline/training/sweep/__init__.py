"""Several ways to train an autoencoder, beside each other: how well each reconstructs, and how many of its units have a label that holds."""
