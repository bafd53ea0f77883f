"""A visitor's text: the units that fire on it, what the model expects with and without an SAE, the units that tell given words apart."""
