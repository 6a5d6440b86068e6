"""Learned optimizers: m and φ, with one rule in each file.

A new rule is one new file in this folder. The registry discovers it.

Example:
    >>> import jax
    >>> from metadescent.registry import make_optimizer
    >>> make_optimizer("lstm(layers=(4,))", jax.random.key(0)).layers
    (4,)
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "anytime": ["Anytime"],
        "at_rest": ["AtRest"],
        "appendix_d.gac": ["LSTMGAC"],
        "appendix_d.ntm_bfgs": ["NTMBFGS"],
        "appendix_d.ntm_l_bfgs": ["NTMLBFGS"],
        "base": ["Coordinatewise", "LearnedOptimizer"],
        "chained": ["Chained", "InTurn", "chain"],
        "guarded": ["Guarded"],
        "lstm": ["LSTM"],
        "modulated": ["Modulated"],
        "pace": ["Pace"],
        "partitioned": ["Partitioned"],
        "pictorial.pictorial": ["Pictorial"],
        "proportional": ["Proportional"],
        "relative": ["Relative"],
        "rnnprop": ["RNNProp"],
        "state_dtype": ["with_state_dtype"],
        "warm_up": ["WarmUp"],
    },
)
