"""Estimators of the meta-gradient, one a file; see `metadescent.estimator`."""
