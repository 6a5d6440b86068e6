"""The LSTM in C++, as JAX functions."""
