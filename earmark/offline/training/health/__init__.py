"""A dictionary's figures from the model itself: what it reconstructs, what the model still does with it, what comes back of each unit."""
