"""Several processes: that train one φ together, or that share out independent runs."""
