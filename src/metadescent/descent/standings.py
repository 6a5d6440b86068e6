"""Which of two optimizers is ahead on the same problems: by final loss and, if level, by steps."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent.descent.curves import apart, blown_up, final_loss, or_infinite

CLOSE, EXACT = 1e-3, 1e-6
"""A final loss is reached within a thousandth of it, or of the way down to it if that is less, as
the last steps may not lower the loss; but no closer than a millionth of it, as losses have 32
bits."""
RESAMPLES = 200
"""How many times problems are drawn with replacement for the interval of a speed-up."""


def speed_up(mine: Float[np.ndarray, " steps"], other: Float[np.ndarray, " steps"]) -> float:
    """Return the steps that `other` takes to its own final loss ÷ those of `mine` to that loss.

    0 means never. NaN means that the other diverged, and has no final loss.
    """
    final = float(final_loss(other))
    if not math.isfinite(final):
        return math.nan
    target = final + tolerance(final, float(other[0]))
    theirs, own = (steps_to(mean, target) for mean in (other, mine))
    return theirs / own


def tolerance(final: float, begin: float) -> float:
    """Return how close to a final loss counts as reached, for a curve that begins at `begin`.

    Adding a constant to f does not make it coarser.
    """
    way = abs(begin - final) if math.isfinite(begin) else math.inf
    return max(CLOSE * min(abs(final), way), EXACT * abs(final))


def steps_to(mean: Float[np.ndarray, " steps"], target: float) -> float:
    """Return the first step at which a curve is at or below a loss, ∞ if it never is."""
    reached = np.flatnonzero(mean <= target)
    return float(reached[0] + 1) if len(reached) else math.inf


class Standing(NamedTuple):
    """How one optimizer did beside another on the same f, θ₀ and minibatches.

    sign      1 if it is ahead for certain, −1 if it is behind, 0 if they are level
    speed_up  as `speed_up` of the mean curves, with its 95 % interval over problems
    """

    sign: int
    speed_up: float
    low: float
    high: float


def standing(
    mine: Float[np.ndarray, "problems steps"], other: Float[np.ndarray, "problems steps"]
) -> Standing:
    """Compare learning curves in pairs: by final losses and, if these are level, by steps.

    Means that are closer than the `tolerance` are level. A difference is certain if the 95 %
    interval of the median difference over problems and the means both say so. Few problems that
    diverged therefore cannot decide it, and none is hidden.
    """
    curves = [or_infinite(np.asarray(curves, float)) for curves in (mine, other)]
    own, theirs = (np.asarray(final_loss(c)) for c in curves)
    with np.errstate(invalid="ignore"):
        low, high = _median_interval(np.where(own == theirs, 0.0, own - theirs))
    # As in means, few problems on which `other` diverged are left out; those of `mine` are not.
    kept = ~apart(blown_up(curves[1]))
    gains = _resampled(*(c[kept] for c in curves))
    steps = speed_up(*(c[kept].mean(0) for c in curves))
    mine_ends, other_ends = float(own.mean()), float(theirs.mean())
    least = 0.0
    if math.isfinite(other_ends):
        least = tolerance(other_ends, float(curves[1][:, 0].mean()))
    if high < 0 and mine_ends < other_ends - least:
        sign = 1
    elif low > 0 and mine_ends > other_ends + least:
        sign = -1
    else:
        sign = int(gains[0] > 1) - int(gains[1] < 1)
    return Standing(sign, steps, *gains)


def _median_interval(differences: Float[np.ndarray, " problems"]) -> tuple[float, float]:
    """Return the 95 % interval of a median from order statistics, valid for any distribution."""
    n, ordered = len(differences), np.sort(differences)
    below, k = 0.0, 0
    while (below := below + math.comb(n, k) / 2**n) <= 0.025:
        k += 1
    # With five problems or fewer nothing is certain.
    return (float(ordered[k - 1]), float(ordered[n - k])) if k else (-math.inf, math.inf)


def _resampled(
    mine: Float[np.ndarray, "problems steps"], other: Float[np.ndarray, "problems steps"]
) -> tuple[float, float]:
    """Return the 95 % interval of the speed-up over resampled problems, the same for both."""
    n = len(mine)
    # Losses that diverged are kept finite, because 0 times them must be 0.
    bounded = [np.minimum(curves, 1e150) for curves in (mine, other)]
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    means: Sequence = [(counts @ curves) / n for curves in bounded]
    gains = [speed_up(*pair) for pair in zip(*means, strict=True)]
    if n == 1:
        return 0.0, math.inf
    low, high = np.quantile(gains, [0.025, 0.975], method="nearest")
    return float(low), float(high)
