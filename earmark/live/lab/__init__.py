"""The Lab: a small autoencoder trained on one text or clip while its visitor watches, and what its latents do there."""
