"""Hand-designed optimizers: how each is made, tuned and drawn. A new one is an entry here.

They are Optax's own, with the other values at the defaults of Torch7's `optim` as in the paper:
momentum 0.9 for NAG, decay 0.99 and ε 1e-8 (outside the root) for RMSprop, β 0.9 and 0.999 and
ε 1e-8 for Adam. L-BFGS, with Optax's zoom line search and its other defaults, is not among the
paper's; its rate is what the direction is multiplied by before the search along it.

Names, labels and colours can be read without JAX, which is imported where an optimizer is made.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import optax

    from metadescent.descent.at_rate import AtRate


class Baseline(NamedTuple):
    """A hand-designed optimizer of one rate."""

    make: Callable[[Any], "optax.GradientTransformation"]  # of the rate
    decades: tuple[int, int]  # where the search for the rate begins; it may go beyond
    # For pictures of 64 × 64: `python benchmarks/neural_art.py --only rates --steps 64`.
    usual_rate: float
    label: str
    color: str  # of the palette of Okabe and Ito, or a grey
    dashes: tuple[float, ...]  # in line widths
    in_paper: bool = False  # figures 4 to 8 compare with it
    searches_along_line: bool = False  # and so takes no minibatches

    def at(self, rate: Any) -> "AtRate":
        """Return the optimizer at a rate; all rates of one baseline share compiled programs."""
        from metadescent.descent.at_rate import AtRate

        return AtRate(self.make, rate)


def _optax(name: str, **options: Any) -> Callable[[Any], "optax.GradientTransformation"]:
    """Return what makes an optimizer of Optax's at a rate."""

    def make(rate: Any) -> "optax.GradientTransformation":
        import optax

        return getattr(optax, name)(rate, **options)

    return make


BASELINES: dict[str, Baseline] = {
    "sgd": Baseline(
        _optax("sgd"),
        decades=(-2, 1),
        usual_rate=3.0,
        label="SGD",
        color="#000000",
        dashes=(1.0, 1.4),
        in_paper=True,
    ),
    "nag": Baseline(
        _optax("sgd", momentum=0.9, nesterov=True),
        decades=(-2, 1),
        usual_rate=1.0,
        label="NAG",
        color="#0072B2",
        dashes=(6.0, 1.4, 1.0, 1.4),
        in_paper=True,
    ),
    "rmsprop": Baseline(
        _optax("rmsprop", decay=0.99, eps=1e-8, eps_in_sqrt=False),
        decades=(-3, 0),
        usual_rate=0.01,
        label="RMSprop",
        color="#009E73",
        dashes=(3.2, 1.4),
        in_paper=True,
    ),
    "adam": Baseline(
        _optax("adam"),
        decades=(-3, 0),
        usual_rate=0.05,
        label="Adam",
        color="#CC79A7",
        dashes=(7.5, 1.8),
        in_paper=True,
    ),
    "lbfgs": Baseline(
        _optax("lbfgs"),
        decades=(-1, 1),
        usual_rate=1.0,
        label="L-BFGS",
        color="#7A7A7A",
        dashes=(6.0, 1.4, 1.0, 1.4, 1.0, 1.4),
        searches_along_line=True,
    ),
}


STANDARD = tuple(name for name, baseline in BASELINES.items() if baseline.in_paper)
"""Those of the paper, which serve any problem."""
