"""A rule for pictures: L-BFGS in windows with an LSTM for each pixel, and the parts of it."""
