"""Pairs: two optimizers on the same f, θ₀ and minibatches, compared run by run.

On problem i one optimizer comes to a_i and the other to b_i, for example the loss after a step, or
the sum of all losses of the run. The interval is that of the mean of a_i − m b_i over problems
(Student's t). If all of it is below zero, ā is less than m times b̄ for certain. What the two have
in common, such as how hard a problem is and which minibatches it draws, does not widen the
interval. All m whose interval contains zero are the interval of the ratio ā/b̄ (Fieller, 1954), so
both say the same.

If there are many values a problem, such as losses of single steps, each column is compared alone.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent.descent.curves import ratio

LEVEL = 0.95
Runs = Float[np.ndarray, "problems *values"]
Values = Float[np.ndarray | np.floating, "*values"]


class Ratio(NamedTuple):
    """A ratio of means with its interval, which is unbounded if the problems leave it open."""

    value: Values
    low: Values
    high: Values


def difference(
    mine: Runs, other: Runs, margin: float = 1.0, level: float = LEVEL
) -> tuple[Values, Values]:
    """Return the interval of the mean of a_i − m b_i; NaN where a loss is not finite."""
    apart = _float(mine) - margin * _float(other)
    n = len(apart)
    with np.errstate(invalid="ignore"):
        mean = apart.mean(0)
        # With one problem nothing is certain.
        error = np.std(apart, 0, ddof=1) / np.sqrt(n) if n > 1 else np.full_like(mean, np.inf)
        half_width = quantile(n - 1, level) * error
        return mean - half_width, mean + half_width


def ratio_of_means(mine: Runs, other: Runs, level: float = LEVEL) -> Ratio:
    """Return ā/b̄ with Fieller's interval; NaN if a ratio says nothing, as for losses below 0."""
    a, b = _float(mine), _float(other)
    n, mean_a, mean_b = len(a), a.mean(0), b.mean(0)
    value = ratio(mean_a, mean_b)
    nothing, unbounded = np.full_like(value, np.nan), np.full_like(value, np.inf)
    if n < 2:
        return Ratio(value, np.where(np.isnan(value), nothing, -unbounded), value + unbounded)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # (ā − m b̄)² ≤ t² var(a − m b) / n  is  A m² − 2 B m + C ≤ 0.
        t = quantile(n - 1, level) / np.sqrt(n * (n - 1))
        from_a, from_b = t * (a - mean_a), t * (b - mean_b)
        A = mean_b**2 - (from_b**2).sum(0)
        B = mean_a * mean_b - (from_a * from_b).sum(0)
        C = mean_a**2 - (from_a**2).sum(0)
        root = np.sqrt(np.maximum(B**2 - A * C, 0.0))
        # If A is not positive, b̄ may be zero, and no m is too large. If ā cannot be zero as well,
        # some m are too small.
        open_low = np.where(C > 0, C / (B + root), -np.inf)
        low = np.where(A > 0, (B - root) / A, open_low)
        high = np.where(A > 0, (B + root) / A, np.inf)
    says = np.isfinite(value) & np.isfinite(root)
    return Ratio(value, np.where(says, low, np.nan), np.where(says, high, np.nan))


def quantile(dof: int, level: float) -> float:
    """Return how many standard errors Student's interval extends to each side."""
    # SciPy comes with JAX. It is imported late, because its import takes long.
    from scipy.special import stdtrit

    return float(stdtrit(max(dof, 1), (1 + level) / 2))


def _float(values: Runs) -> np.ndarray:
    """Return values in 64 bits, with NaN for those that are not finite."""
    wide = np.asarray(values, np.float64)
    return np.where(np.isfinite(wide), wide, np.nan)
