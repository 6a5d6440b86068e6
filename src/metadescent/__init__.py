"""metadescent: learn optimization algorithms by gradient descent."""
