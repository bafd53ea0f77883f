"""What does this unit do? Its ablation on its own strongest samples."""
