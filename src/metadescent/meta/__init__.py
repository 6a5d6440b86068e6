"""Learning φ: equation 3, estimates of its gradient, and meta-training by them."""
