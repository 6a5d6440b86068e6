"""Hand-designed optimizers.

They are Optax's own, with the other values at the defaults of Torch7's `optim` as in the paper:
momentum 0.9 for NAG, decay 0.99 and ε 1e-8 (outside the root) for RMSprop, β 0.9 and 0.999 and
ε 1e-8 for Adam. L-BFGS, with Optax's zoom line search and its other defaults, is not among the
paper's; its rate is what the direction is multiplied by before the search along it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax


class Baseline(NamedTuple):
    """A hand-designed optimizer, by its rate, and the decades where the search begins.

    Example:
        >>> heavy = Baseline(lambda rate: optax.sgd(rate, momentum=0.99), -3, 0)
        >>> rule = heavy.make(0.5)
        >>> rule.update(jnp.ones(2), rule.init(jnp.zeros(2)))[0].tolist()
        [-0.5, -0.5]
    """

    make: Callable[[Any], optax.GradientTransformation]
    first_decade: int
    last_decade: int


BASELINES: dict[str, Baseline] = {
    "sgd": Baseline(optax.sgd, -2, 1),
    "nag": Baseline(lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True), -2, 1),
    "rmsprop": Baseline(
        lambda rate: optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False), -3, 0
    ),
    "adam": Baseline(optax.adam, -3, 0),
    "lbfgs": Baseline(optax.lbfgs, -1, 1),
}


STANDARD = ("sgd", "nag", "rmsprop", "adam")
"""Those of the paper, which serve any problem; L-BFGS takes one without minibatches."""
