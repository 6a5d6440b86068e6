"""Figures are drawn here, so Matplotlib is imported before any test is timed."""

import matplotlib.figure  # noqa: F401
