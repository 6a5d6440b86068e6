"""Convolution and pooling in C++, as JAX functions."""
