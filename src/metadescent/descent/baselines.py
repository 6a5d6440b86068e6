"""Hand-designed optimizers: how each is made, tuned and drawn. A new one is an entry here.

They are Optax's own, with the other values at the defaults of Torch7's `optim` as in the paper:
momentum 0.9 for NAG, decay 0.99 and ε 1e-8 (outside the root) for RMSprop, β 0.9 and 0.999 and
ε 1e-8 for Adam. Two are of today: AdamW (Loshchilov and Hutter, 2019) with Optax's weight decay,
whose rate goes down from the tuned one to 0 by half a cosine over the horizon; and L-BFGS with
Optax's zoom line search, whose rate is what the direction is multiplied by before the search.

Names, labels and colours can be read without JAX, which is imported where an optimizer is made.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from metadescent._errors import UserError

if TYPE_CHECKING:
    import optax

    from metadescent.descent.at_rate import AtRate


class Baseline(NamedTuple):
    """A hand-designed optimizer of one rate."""

    make: Callable[[Any, Any], "optax.GradientTransformation"]  # of the rate and the horizon
    decades: tuple[int, int]  # where the search for the rate begins; it may go beyond
    label: str
    color: str  # of the palette of Okabe and Ito, or a grey
    dashes: tuple[float, ...]  # in line widths
    in_paper: bool = False  # figures 4 to 8 compare with it
    searches_along_line: bool = False  # and so takes no minibatches
    # For pictures of 64 × 64: `python benchmarks/neural_art.py --only rates --steps 64`.
    usual_rate: float | None = None

    def at(self, rate: Any, num_steps: int | float = math.inf) -> "AtRate":
        """Return the optimizer at a rate; all rates of one baseline share compiled programs."""
        from metadescent.descent.at_rate import AtRate

        return AtRate(self.make, rate, float(num_steps))


class _Optax:
    """What makes an optimizer of Optax's at a rate, and says how it is called."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name, self.options = name, options

    def __call__(self, rate: Any, horizon: Any) -> "optax.GradientTransformation":
        import optax

        del horizon
        return getattr(optax, self.name)(rate, **self.options)

    def spec(self, rate: float) -> str:
        options = {"learning_rate": rate, **self.options}
        return f"optax.{self.name}({', '.join(f'{k}={v!r}' for k, v in options.items())})"


def _cosine(rate: Any, horizon: Any) -> Callable[[Any], Any]:
    """Return a schedule from the rate to 0 by half a cosine."""
    import jax.numpy as jnp

    # Optax's own asks whether the horizon is above 0, which a traced one cannot answer.
    return lambda t: 0.5 * rate * (1 + jnp.cos(math.pi * jnp.minimum(t / horizon, 1.0)))


def _adamw(rate: Any, horizon: Any) -> "optax.GradientTransformation":
    import optax

    return optax.adamw(_cosine(rate, horizon))


def _nag(rate: Any, horizon: Any) -> "optax.GradientTransformation":
    import optax

    return optax.sgd(_cosine(rate, horizon), momentum=0.9, nesterov=True)


BASELINES: dict[str, Baseline] = {
    "sgd": Baseline(
        _Optax("sgd"),
        decades=(-2, 1),
        usual_rate=3.0,
        label="SGD",
        color="#000000",
        dashes=(1.0, 1.4),
        in_paper=True,
    ),
    "nag": Baseline(
        _Optax("sgd", momentum=0.9, nesterov=True),
        decades=(-2, 1),
        usual_rate=1.0,
        label="NAG",
        color="#0072B2",
        dashes=(6.0, 1.4, 1.0, 1.4),
        in_paper=True,
    ),
    "rmsprop": Baseline(
        _Optax("rmsprop", decay=0.99, eps=1e-8, eps_in_sqrt=False),
        decades=(-3, 0),
        usual_rate=0.01,
        label="RMSprop",
        color="#009E73",
        dashes=(3.2, 1.4),
        in_paper=True,
    ),
    "adam": Baseline(
        _Optax("adam"),
        decades=(-3, 0),
        usual_rate=0.05,
        label="Adam",
        color="#CC79A7",
        dashes=(7.5, 1.8),
        in_paper=True,
    ),
    "adamw": Baseline(
        _adamw,
        decades=(-3, 0),
        label="AdamW, cosine",
        color="#E69F00",
        dashes=(3.2, 1.4, 1.0, 1.4),
    ),
    "lbfgs": Baseline(
        _Optax("lbfgs"),
        decades=(-1, 1),
        usual_rate=1.0,
        label="L-BFGS",
        color="#7A7A7A",
        dashes=(6.0, 1.4, 1.0, 1.4, 1.0, 1.4),
        searches_along_line=True,
    ),
}


def spec_at(name: str, rate: float) -> str:
    """Return the specification of a baseline at a rate, such as "optax.sgd(learning_rate=0.1)"."""
    make = BASELINES[name].make
    if not isinstance(make, _Optax):
        raise UserError(f"{name} goes by a schedule, which no specification has; try adam")
    return make.spec(rate)


VARIANTS: dict[str, Baseline] = {
    "rmsprop-0.9": BASELINES["rmsprop"]._replace(
        make=_Optax("rmsprop", decay=0.9, eps=1e-8, eps_in_sqrt=False),
        label="RMSprop, decay 0.9",
        in_paper=False,
    ),
    "nag-cosine": BASELINES["nag"]._replace(
        make=_nag, label="NAG, cosine", color="#7A7A7A", in_paper=False
    ),
}
"""Baselines with another value than Torch7's, or a schedule, which only the figures have."""


KNOWN = BASELINES | VARIANTS


def baseline_of(name: str) -> Baseline:
    """Return a baseline or a variant of one, by its name."""
    return KNOWN[name]


STANDARD = tuple(name for name, baseline in BASELINES.items() if baseline.in_paper)
"""Those of the paper, which serve any problem."""
