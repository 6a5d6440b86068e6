"""Curves and their bands in a drawing: clipped to the axis, thinned if long, with an end."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from metadescent.descent.curves import BLOWN_UP

if TYPE_CHECKING:
    import matplotlib.axes

Interval = Sequence[Float[np.ndarray, "_"]]
"""A mean, and the lower and upper ends of its interval."""

POINTS = 250
"""The number of points, roughly, to which a curve is thinned…"""
LONG = 1000
"""… if it has more steps than this; a printed column cannot show more."""
DIVERGED = "diverged"
"""The first word of the label of the mark."""


def blocks_of(length: int) -> int:
    """Return how many steps are averaged for one point of a drawn curve."""
    return 1 if length <= LONG else -(-length // POINTS)


def thinned(x: np.ndarray, shown: Interval, size: int) -> tuple[np.ndarray, Interval]:
    """Return means over blocks of `size` steps, each at its last step; the first step is alone.

    Means of intervals are never narrower than the mean's own interval. The last finite step ends a
    block, so that a curve that diverges is drawn up to there. A block with a NaN is a gap.
    """
    if size == 1 or len(x) < 2:
        return x, shown
    ends = [1, *range(1 + size, len(x), size), len(x), last_finite(shown[0]) + 1]
    begins = np.unique(np.asarray([0, *ends]))
    lengths = np.diff(begins)
    with np.errstate(invalid="ignore", over="ignore"):
        means = [np.add.reduceat(values, begins[:-1]) / lengths for values in shown]
    return x[begins[1:] - 1], means


def last_finite(mean: np.ndarray) -> int:
    """Return the place of a curve's last finite value, -1 if there is none."""
    return int(np.flatnonzero(np.isfinite(mean))[-1]) if np.isfinite(mean).any() else -1


def diverged(mean: np.ndarray, start: float) -> bool:
    """Tell whether a curve ceases to be finite, or ends far above where it and others start."""
    return bool(not np.isfinite(mean[-1]) or mean[-1] > max(mean[0], ceiling(start)))


def ceiling(start: float) -> float:
    """Return the loss above which a curve has blown up."""
    return start + BLOWN_UP * abs(start)


def start_of(means: Iterable[np.ndarray]) -> float:
    """Return the median first loss, so that a curve that blows up at once does not distort it."""
    firsts = sorted(float(mean[0]) for mean in means if np.isfinite(mean[0]))
    return firsts[(len(firsts) - 1) // 2] if firsts else np.inf


def draw_line(
    axes: "matplotlib.axes.Axes", x: np.ndarray, shown: Interval, label: str, style: Mapping
) -> None:
    """Draw means and the band of their intervals, which is clipped to the axis.

    The axis has to be scaled to losses before, because what it can show depends on that.
    """
    mean, low, high = shown
    # NaN stays NaN, so that a missing end leaves a gap; an end beyond the axis is at its edge.
    low, high = (np.clip(values, *axes.get_ylim()) for values in (low, high))
    axes.fill_between(x, low, high, color=style["color"], alpha=0.16, linewidth=0, zorder=1.5)
    axes.plot(x, drawable(axes, mean), label=label, **style)


def drawable(axes: "matplotlib.axes.Axes", values: np.ndarray) -> np.ndarray:
    """Return values with NaN for those that the loss axis cannot show."""
    shows = np.isfinite(values) & ((values > 0) | (axes.get_yscale() != "log"))
    return np.where(shows, values, np.nan)


def mark(axes: "matplotlib.axes.Axes", x: float, y: float, color: Any, means: str = "") -> None:
    """Mark where a curve diverged, at the edge if beyond it; the legend says what it means."""
    low, high = axes.get_ylim()
    cross: dict[str, Any] = {
        "linestyle": "",
        "marker": "x",
        "markeredgewidth": 1.4,
        "markersize": 5.0,
    }
    y = high if np.isnan(y) else min(max(y, low), high)
    axes.plot([x], [y], color=color, zorder=4.0, clip_on=False, **cross)
    # It has no curve's colour, because it stands for all.
    axes.plot([], [], color="0.35", label=f"{DIVERGED}{means}", **cross)
