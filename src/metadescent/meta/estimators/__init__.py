"""Estimators of the meta-gradient, one in each file; see `metadescent.meta.estimators.base`.

Example:
    >>> from metadescent.registry import make_estimator
    >>> make_estimator("pes(std=0.1)").std
    0.1
"""
