"""Loggers that follow a meta-training: an interface of three calls, and one backend a file."""
