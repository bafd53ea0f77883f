"""What a training says of itself: how large and how long it will be, its curves, and how several compare."""
