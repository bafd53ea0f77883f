"""Autoencoders while they are trained: settings, the kinds with their losses, and the loop that the command line and the page share."""
