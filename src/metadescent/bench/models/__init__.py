"""What the tasks fit: networks and losses in plain JAX, each written once."""
