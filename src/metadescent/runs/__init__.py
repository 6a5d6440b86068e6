"""A meta-training run as a folder: its recipe, the plan made from it, and resumable training.

Example:
    >>> from metadescent.runs import Recipe, plan_of
    >>> plan_of(Recipe(optimizer="lstm(layers=(4,))", estimator="pes(std=0.01)")).form
    'pes'
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "choice.learning": ["Learned", "learn"],
        "loggers.base": ["Logger"],
        "loggers.names": ["make_logger"],
        "plan": ["Plan", "plan_of"],
        "recipe": ["Recipe"],
        "run": ["Run"],
        "training": ["train"],
    },
)
