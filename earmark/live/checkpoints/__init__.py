"""What a checkpoint says when it is opened: what it is and needs, its values on activations of one's own, and whether it fits its hook."""
