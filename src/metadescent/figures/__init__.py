"""Figures of learning curves, sweeps, updates and runs; the paper's are in `figures.paper`.

Matplotlib is imported when a figure is drawn.
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "curves": ["Panel", "draw_curves"],
        "output": ["save_figure"],
        "sweeps": ["draw_sweeps"],
    },
)
