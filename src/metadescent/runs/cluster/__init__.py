"""Several processes that train one φ together, or that share out independent tasks."""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"executors": ["Engine", "engine_of"], "sweeps": ["sweep"]}
)
