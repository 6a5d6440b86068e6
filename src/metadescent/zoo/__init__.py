"""Optimizers as files: saving, loading, the pretrained ones, those on the Hugging Face Hub.

Only `load` and `save` need JAX.

Example:
    >>> from metadescent import zoo
    >>> "mnist-lstm" in zoo.names()
    True
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"catalogue": ["card", "names", "path", "pinned"], "file": ["load", "save"]},
)
