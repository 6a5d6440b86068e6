"""The score of an optimizer on a task, and over tasks: in steps first, then in loss.

speed-up = T* / t*: T* is the point at which a reference first reaches its own final loss, and t*
the point at which the optimizer does, both on straight lines between points; 0 means never.

Source: that tuned constant rates of Adam are one envelope is from Metz et al. (2022), "VeLO:
training versatile learned optimizers by scaling up".
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent.bench.measured import Measured
from metadescent.bench.reference import Reference
from metadescent.descent.curves import blown_up, final_loss, or_infinite
from metadescent.descent.levels import step_to
from metadescent.descent.standings import tolerance

RESAMPLES = 1000


class TaskScore(NamedTuple):
    """How an optimizer did on one task over one horizon.

    speed_up          over the envelope of Adam's constant rates; 0: it never reaches the loss
    against_adamw     the same over AdamW with tuned warm-up and cosine
    beats_default     it ends below Adam at 1e-3
    held_out_end      its final held-out loss ÷ tuned AdamW's; NaN if a loss is not above 0
    held_out_best     the same, each at its best point
    diverged, seeds   runs that blew up, of how many
    seconds           of all runs, without compilation
    """

    speed_up: float
    against_adamw: float
    beats_default: bool
    held_out_end: float
    held_out_best: float
    diverged: int
    seeds: int
    seconds: float


def score_of(measured: Measured, reference: Reference) -> TaskScore:
    """Return the score of runs beside a task's reference."""
    train, held_out = (or_infinite(curves) for curves in (measured.train, measured.held_out))
    mine, mine_held_out = train.mean(0), held_out.mean(0)
    end, best = reference.held_out
    return TaskScore(
        gain(mine, reference.envelope),
        gain(mine, reference.adamw),
        bool(final_loss(mine) < final_loss(reference.adam_at_default)),
        _over(float(final_loss(mine_held_out)), end),
        _over(float(mine_held_out.min()), best),
        int(blown_up(train[:, 1:]).sum()),
        len(train),
        measured.seconds,
    )


def gain(mine: Float[np.ndarray, " points"], other: Float[np.ndarray, " points"]) -> float:
    """Return the speed-up of a curve over another, both with θ₀ as their first point."""
    final = float(final_loss(other[1:]))
    if not math.isfinite(final):
        return math.nan
    target = final + tolerance(final, float(other[0]))
    theirs, own = (float(step_to(curve[1:], target, math.inf)) for curve in (other, mine))
    return theirs / own


def _over(loss: float, other: float) -> float:
    return loss / other if other > 0 and loss >= 0 else math.nan


class Summary(NamedTuple):
    """A score over tasks: its median with the 95 % interval, and its spread."""

    median: float
    low: float
    high: float
    interquartile_mean: float
    worst_decile: float


def summarized(over_tasks: Sequence[float], *, larger_is_better: bool = True) -> Summary:
    """Return a summary of one figure over tasks, without those in which it is NaN.

    The interval is that of the median over resampled tasks.

    Example:
        >>> summarized([0.0, 1.0, 2.0, 3.0, 4.0]).interquartile_mean
        2.0
    """
    values = np.sort(np.asarray([x for x in over_tasks if not math.isnan(x)], float))
    n = len(values)
    if n == 0:
        return Summary(*[math.nan] * 5)
    draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    low, high = np.quantile(np.median(values[draws], 1), [0.025, 0.975], method="nearest")
    quarter = n // 4
    worst = np.quantile(values, 0.1 if larger_is_better else 0.9, method="nearest")
    middle = values[quarter : n - quarter]
    return Summary(
        float(np.median(values)), float(low), float(high), float(middle.mean()), float(worst)
    )
