"""A rule for pictures: L-BFGS in windows, with an LSTM a pixel, and what it is made of."""
