"""Learned optimizers, one rule a file; every module here is found by discovery."""
