"""The numbers of a guard, for JAX and PyTorch."""

LIMIT, RATE = 0.5, 0.03
"""The longest step and the safe step, as parts of a tensor's size; the defaults."""
TAU = 100.0
"""Replaced steps after which the safe step is 1/√2 as long."""
