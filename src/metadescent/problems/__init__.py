"""Problems, one a file; every module here is found by discovery.

Example:
    >>> from metadescent.registry import make_problem
    >>> make_problem("quadratic(dimension=3)").dimension
    3
"""
