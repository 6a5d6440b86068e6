"""The rules that PyTorch has, one a file; every module here is found by discovery."""
