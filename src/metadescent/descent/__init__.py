"""An optimizer m that minimizes f (figure 2), learned or hand-designed, by the same code."""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["compare"],
        "curves": ["learning_curves"],
        "episode": ["start_batch"],
        "trace": ["descend"],
        "tuning": ["tune"],
        "unrolling": ["Trajectory", "start", "unroll"],
    },
)
