"""Learning φ: equation 3, estimates of its gradient, and meta-training by them."""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "devices": ["Spread", "mesh_of"],
        "estimators.base": ["Estimator"],
        "estimators.es": ["ES"],
        "estimators.imitation": ["Imitation"],
        "estimators.pes": ["PES"],
        "estimators.pool": ["Pool"],
        "estimators.truncated": ["Truncated"],
        "loss": ["meta_loss"],
        "schedule": ["Schedule"],
        "train": ["meta_train"],
    },
)
