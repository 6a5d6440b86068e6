"""Problems: functions f and their distributions p(f), with one problem in each file.

A new problem is one new file in this folder. The registry discovers it.

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
