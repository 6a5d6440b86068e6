"""metadescent: learn optimization algorithms by gradient descent.

The public names are loaded when first used, so importing the package costs next to nothing.
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

# To a type checker a public name may be anything, a class among them.
__getattr__: Callable[[str], Any]
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={"data", "estimators", "optimizers", "problems", "zoo"},
    submod_attrs={
        "artifact": ["save"],
        "compare": ["compare"],
        "errors": ["UserError"],
        "estimator": ["Estimator"],
        "estimators.imitation": ["Imitation"],
        "estimators.pes": ["PES"],
        "estimators.truncated": ["Truncated"],
        "evaluate": ["learning_curves"],
        "meta_loss": ["meta_loss"],
        "meta_train": ["Schedule", "meta_train"],
        "optimizer": ["Coordinatewise", "LearnedOptimizer"],
        "optimizers.anytime": ["Anytime"],
        "optimizers.chained": ["Chained", "InTurn", "chain"],
        "optimizers.gac": ["LSTMGAC"],
        "optimizers.lstm": ["LSTM"],
        "optimizers.modulated": ["Modulated"],
        "optimizers.ntm_bfgs": ["NTMBFGS"],
        "optimizers.ntm_l_bfgs": ["NTMLBFGS"],
        "optimizers.pace": ["Pace"],
        "optimizers.partitioned": ["Partitioned"],
        "optimizers.pictorial": ["Pictorial"],
        "optimizers.proportional": ["Proportional"],
        "optimizers.relative": ["Relative"],
        "optimizers.rnnprop": ["RNNProp"],
        "optimizers.warm_up": ["WarmUp"],
        "problem": ["Optimizee", "Problem"],
        "problems.classifier": ["MLPClassification"],
        "problems.fan_in": ["FanIn"],
        "problems.from_function": ["FromFunction"],
        "problems.ill_conditioned": ["IllConditioned"],
        "problems.logarithm": ["Logarithm"],
        "problems.quadratic": ["Quadratic"],
        "problems.rescaled": ["Rescaled"],
        "problems.rosenbrock": ["Rosenbrock"],
        "problems.together": ["Together"],
        "spread": ["Spread", "mesh_of"],
        "tune": ["tune"],
        "unroll": ["Trajectory", "unroll"],
        "zoo": ["load"],
    },
)
