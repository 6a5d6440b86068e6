"""metadescent: learn optimization algorithms by gradient descent.

The names that most programs need are here. All others are in rooms, such as
`metadescent.problems.Quadratic`. Names are loaded when they are first used, so importing the
package costs next to nothing.
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

# To a type checker a public name may be anything, a class among them.
__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={"bench", "descent", "meta", "optimizers", "problems", "torch", "zoo"},
    submod_attrs={
        "_errors": ["UserError"],
        "descent": ["compare", "learning_curves", "tune"],
        "meta": ["Estimator", "Schedule", "Truncated", "meta_train"],
        "optimizers": ["LSTM", "Coordinatewise", "LearnedOptimizer"],
        "problems": ["FromFunction", "Optimizee", "Problem"],
        "runs.choice.learning": ["learn"],
        "zoo": ["load", "save"],
    },
)
__all__.remove("torch")  # PyTorch may not be installed
