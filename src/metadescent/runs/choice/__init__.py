"""What to train, and how, for a family that nobody has trained for: look, then choose."""
