"""From stored activations to a trained autoencoder with its figures."""
