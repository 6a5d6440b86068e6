"""Learned optimizers, one rule a file; every module here is found by discovery.

Example:
    >>> import jax
    >>> from metadescent.registry import make_optimizer
    >>> make_optimizer("lstm(layers=(4,))", jax.random.key(0)).layers
    (4,)
"""
