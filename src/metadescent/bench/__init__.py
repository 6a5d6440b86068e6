"""The bench: tasks that nothing is meta-trained on, references to compare with, and scores."""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"task": ["Split", "Task", "every_task"]}
)
