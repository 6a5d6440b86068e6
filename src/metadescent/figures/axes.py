"""The layout of all figures: lettered panels in rows over one legend, and loss axes.

Nothing touches pyplot's state: a figure is a value, and `output` writes it.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from metadescent.figures.lines import DIVERGED
from metadescent.figures.style import STYLE

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


def arrange(
    panels: Sequence[Any],
    draw: Callable[["matplotlib.axes.Axes", Any], None],
    columns: int,
    width: float,
    sharey: bool = False,
    height: float = 2.25,
    letters: bool = True,
) -> "matplotlib.figure.Figure":
    """Draw panels in rows of `columns` over a shared legend; a row is `height` inches high.

    If there are several, they have letters, (a), (b), …, unless their titles are their names.
    """
    # Imported late, here and below, as Matplotlib is slow to import and most commands do not draw.
    import matplotlib
    from matplotlib.figure import Figure

    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()
        # By label, so that a curve in several panels has one entry in the legend.
        entries: dict[str, Any] = {}
        for k, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
            draw(axes, panel)
            if letters and len(panels) > 1:
                _letter(axes, k)
            handles, labels = axes.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
        # The marks come after the curves.
        entries = dict(sorted(entries.items(), key=lambda entry: entry[0].startswith(DIVERGED)))
        for axes in grid[len(panels) :]:
            axes.remove()
        legend_columns = _legend_columns(list(entries), width)
        legend_rows = math.ceil(len(entries) / legend_columns)
        figure.set_size_inches(width, height * rows + 0.15 + 0.17 * legend_rows)
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=legend_columns,
            frameon=False,
            handlelength=3.2,
            columnspacing=1.6,
        )
        # The layout is computed once; at another resolution things would move a little.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def _letter(axes: "matplotlib.axes.Axes", k: int) -> None:
    """Write the letter of the k-th panel into the margin, on the line of its title."""
    text = f"({chr(ord('a') + k % 26) * (1 + k // 26)})"
    place = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (-5, 6)}
    axes.annotate(text, **place, textcoords="offset points", ha="right", weight="bold")


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """Return the largest number of columns, filled one after the other, that fit a width."""
    # Matplotlib fills a legend column by column; the first columns may have one entry more.
    for columns in range(min(len(labels), 6), 1, -1):
        size, longer = divmod(len(labels), columns)
        starts = [k * size + min(k, longer) for k in range(columns + 1)]
        longest = [max(map(len, labels[begin:end])) for begin, end in itertools.pairwise(starts)]
        # In inches: a line and its gaps, and the width of an average letter at 8 points.
        if sum(0.6 + 0.06 * letters for letters in longest) < width:
            return columns
    return 1


def _positive(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def scale_losses(axes: "matplotlib.axes.Axes", intervals: Iterable[Sequence[np.ndarray]]) -> None:
    """Fit the loss axis to means and their upper bounds, with ticks at round numbers.

    It is logarithmic, unless a mean is below zero.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    intervals = list(intervals)
    if any((mean < 0).any() for mean, _, _ in intervals):
        bounds = np.concatenate([values[np.isfinite(values)] for i in intervals for values in i])
        margin = 0.04 * float(np.ptp(bounds)) or 1.0
        axes.set_ylim(float(bounds.min()) - margin, float(bounds.max()) + margin)
        return
    axes.set_yscale("log")
    # A lower bound near zero would stretch the axis over empty decades.
    shown = [
        _positive(values)
        for mean, low, high in intervals
        for values in (mean, high, np.maximum(low, 0.7 * mean))
    ]
    shown = np.concatenate([values[~np.isnan(values)] for values in shown] or [np.ones(1)])
    low, high = (shown.min(), shown.max()) if len(shown) else (0.1, 1.0)
    margin = max((high / low) ** 0.04, 1.02)
    low, high = low / margin, high * margin
    ticks = _ticks(low, high)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axes.yaxis.set_minor_locator(NullLocator())
    plain = ticks.min() >= 1e-3 and ticks.max() < 1e5
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}" if plain else _power(y)))


def _ticks(low: float, high: float) -> Float[np.ndarray, " ticks"]:
    """Return a few round numbers between two positive ones."""
    from matplotlib.ticker import MaxNLocator

    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 6))
    ticks = np.asarray([low, high])
    # The coarsest set with at least three ticks.
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        candidates = [m * 10.0**k for k in range(first, last + 1, every) for m in mantissas]
        ticks = np.asarray([tick for tick in candidates if low <= tick <= high])
        if len(ticks) >= 3:
            return ticks
    # For less than a quarter of a decade, ticks are those of a linear axis.
    ticks = np.asarray(MaxNLocator(4).tick_values(low, high))
    return ticks[(low <= ticks) & (ticks <= high)]


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)  # the logarithm of 1000 is below 3
    mantissa = value / 10.0**exponent
    factor = "" if abs(mantissa - 1) < 1e-6 else f"{mantissa:g}\\times"
    return f"${factor}10^{{{exponent}}}$"
