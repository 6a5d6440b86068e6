"""Records: what every run of a panel came to, which is all that claims are judged by.

A record has, by quantity and by optimizer, a value for each problem (or a row of values, such as
the losses of single steps), in six digits. It goes into the JSON of a figure as it is, so whoever
has that can judge again: `examples/judge_again.py` does. Equal places are the same f, θ₀ and
minibatches.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent.descent.beginnings import is_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import apart, blown_up, final_loss, summarize
from metadescent.figures.paper.criterion import SCHEDULED

DIGITS = 6
FEWEST = ("last", "tenth", "tenths", "sum")
"""What every record of learning curves has; claims may need more."""

Losses = Float[np.ndarray, "problems steps"]


class Record(NamedTuple):
    """What the runs of a panel came to.

    steps      of a run
    learned    the learned optimizers; the first leads
    baselines  the hand-designed ones
    values     by quantity and optimizer: a value a problem, or a row of them
    blown_up   by optimizer: the places of the problems on which its loss blew up
    """

    steps: int
    learned: tuple[str, ...]
    baselines: tuple[str, ...]
    values: dict[str, dict[str, np.ndarray]]
    blown_up: Mapping[str, Sequence[int]] = {}

    @property
    def rivals(self) -> tuple[str, ...]:
        """Return the baselines of one rate, but those that blew up on more than a twentieth."""
        at_one_rate = [name for name in self.baselines if name not in SCHEDULED]
        return tuple(name for name in at_one_rate if not self.diverged(name))

    def diverged(self, name: str) -> bool:
        """Tell whether a loss blew up on more problems than means leave out."""
        places = list(self.blown_up.get(name, ()))
        if not places:
            return False
        gone = np.zeros(len(self.values["last"][name]), bool)
        gone[places] = True
        return not apart(gone).any()

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON has it, null for what is not finite."""
        return {
            "steps": self.steps,
            "learned": list(self.learned),
            "baselines": list(self.baselines),
            "blown_up": {name: list(places) for name, places in self.blown_up.items() if places},
        } | {
            quantity: {name: _listed(values) for name, values in by_name.items()}
            for quantity, by_name in self.values.items()
        }


class Quantity(NamedTuple):
    """What a run comes to, as a function of its losses, and how that is called."""

    of: Callable[[Losses], np.ndarray]
    plainly: str
    exactly: Callable[[int], str]  # of the number of steps


QUANTITIES = {
    "last": Quantity(lambda f: f[:, -1], "last loss", lambda n: f"loss after step {n}"),
    "tenth": Quantity(
        lambda f: np.asarray(final_loss(f)),
        "mean loss of the last tenth",
        lambda n: (
            f"mean loss over steps {n - tenth(n) + 1}–{n}"
            if tenth(n) > 1
            else f"loss after step {n}"
        ),
    ),
    "tenths": Quantity(
        lambda f: _tenths(f), "mean losses of tenths", lambda n: f"mean losses of tenths of {n}"
    ),
    "sum": Quantity(
        lambda f: f.sum(1), "sum of losses", lambda n: f"sum of losses over steps 1–{n}"
    ),
    "log": Quantity(
        lambda f: np.exp(np.log(f).mean(1)),
        "geometric mean of losses",
        lambda n: f"geometric mean of losses over steps 1–{n}",
    ),
    "least": Quantity(lambda f: f.min(1), "least loss", lambda n: f"least loss of {n} steps"),
    "second half": Quantity(
        lambda f: f[:, f.shape[1] // 2 :],
        "loss of each step of the second half",
        lambda n: f"loss of each of the steps {n // 2 + 1}–{n}",
    ),
    "from 20": Quantity(
        lambda f: f[:, min(20, f.shape[1]) - 1 :],
        "loss of each step from 20 on",
        lambda n: f"loss of each of the steps {min(20, n)}–{n}",
    ),
    "held out": Quantity(
        lambda f: f.sum(1),
        "sum of losses on held-out data",
        lambda n: f"sum of losses on held-out data in {n} steps",
    ),
}
"""Those of learning curves. Other figures have their own, which need no words but their names."""


def record_of(comparison: Comparison, needed: Iterable[str] = ()) -> Record:
    """Return what the runs of a comparison came to: the usual quantities, and others by name."""
    curves = comparison.curves
    learned = [n for n, curve in curves.items() if curve.rate is None and not is_begun(n)]
    values = {}
    for quantity in dict.fromkeys((*FEWEST, *needed)):
        runs = comparison.held_out_losses if quantity == "held out" else comparison.losses
        values[quantity] = {
            name: rounded(QUANTITIES[quantity].of(np.asarray(losses, np.float64)))
            for name, losses in runs.items()
        }
    return Record(
        comparison.steps,
        tuple(learned),
        tuple(name for name, curve in curves.items() if curve.rate is not None),
        values,
        {
            name: np.flatnonzero(blown_up(losses)).tolist()
            for name, losses in comparison.losses.items()
        },
    )


def called(quantity: str, steps: int | None = None) -> str:
    """Return what a quantity of a run is called, exactly where the number of steps is known."""
    if quantity not in QUANTITIES:
        return quantity
    words = QUANTITIES[quantity]
    return words.plainly if steps is None else words.exactly(steps)


def tenth(steps: int) -> int:
    """Return how many steps the final loss is averaged over where minibatches estimate it."""
    return max(1, steps // 10)


def rounded(values: np.ndarray) -> np.ndarray:
    """Return values in 64 bits with as many digits as the JSON has."""
    wide = np.asarray(values, np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        places = DIGITS - 1 - np.floor(np.log10(np.abs(wide)))
        # A quotient of whole numbers is the decimal's own; so is a product.
        up, down = 10.0 ** np.maximum(places, 0), 10.0 ** np.maximum(-places, 0)
        short = np.round(wide * up / down) / up * down
    return np.where(np.isfinite(short), short, wide)


def mean_run(record: Record, quantity: str, name: str) -> tuple[float, float, float]:
    """Return the mean of what runs came to and its interval, without the few that blew up."""
    values = record.values[quantity][name]
    if not record.diverged(name):
        values = np.delete(values, list(record.blown_up.get(name, ())))
    mean, low, high, *_ = summarize(values[:, None])
    return float(mean[0]), float(low[0]), float(high[0])


def _tenths(losses: Losses) -> Float[np.ndarray, "problems tenths"]:
    """Return the means of tenths of the steps, counted from the last one."""
    problems, steps = losses.shape
    count = min(10, steps)
    return losses[:, steps - count * tenth(steps) :].reshape(problems, count, -1).mean(2)


def _listed(values: np.ndarray) -> list[Any]:
    """Return values as nested lists, with whole numbers written short and None for the rest."""
    if values.ndim > 1:
        return [_listed(row) for row in values]
    return [value if math.isfinite(value) else None for value in values.tolist()]
