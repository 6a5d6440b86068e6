"""The models of the tasks: networks and losses in plain JAX, each written once."""
