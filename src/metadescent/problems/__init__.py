"""Problems: f and p(f), one a file.

A new one is one new file here, found by discovery.

Example:
    >>> from metadescent.registry import make_problem
    >>> make_problem("quadratic(dimension=3)").dimension
    3
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={"data"},
    submod_attrs={
        "base": ["Optimizee", "Problem"],
        "batch": ["Batch"],
        "classifier": ["MLPClassification"],
        "fan_in": ["FanIn"],
        "from_function": ["FromFunction"],
        "ill_conditioned": ["IllConditioned"],
        "logarithm": ["Logarithm"],
        "quadratic": ["Quadratic"],
        "rescaled": ["Rescaled"],
        "rosenbrock": ["Rosenbrock"],
        "together": ["Together"],
    },
)
