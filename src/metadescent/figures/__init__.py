"""Figures: learning curves, sweeps, updates and runs drawn; the paper's in `figures.paper`."""
