"""Figures: learning curves and sweeps as the paper draws them, and files for print and screen.

Nothing here touches pyplot's state: a figure is a value, and `save` writes it. As in figures 4 to
6, learned optimizers are solid and hand-designed ones dashed; every one has its own colour (of the
palette of Okabe and Ito, made for colour-blind readers) and its own dashes or markers, so that the
curves can be told apart in grey as well.
"""

import io
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent._files import write_atomically
from metadescent.descent.curves import Curve

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

COLUMN_WIDTH = 3.4
"""Width in inches of one column of a two-column page; a figure of two panels a row has two."""

_LABELS = {"sgd": "SGD", "nag": "NAG", "rmsprop": "RMSprop", "adam": "Adam", "lbfgs": "L-BFGS"}

# Colours are Okabe and Ito's; its yellow is too light for a line. Dashes are in line widths.
_LEARNED = [
    ("#D55E00", ""),
    ("#56B4E9", "o"),
    ("#E69F00", "s"),
    ("#000000", "^"),
    ("#009E73", "D"),
]
_HAND_DESIGNED = {
    "sgd": ("#000000", (1.0, 1.4)),
    "nag": ("#0072B2", (6.0, 1.4, 1.0, 1.4)),
    "rmsprop": ("#009E73", (3.2, 1.4)),
    "adam": ("#CC79A7", (7.5, 1.8)),
}
_OTHERS = [
    ("#7A7A7A", (6.0, 1.4, 1.0, 1.4, 1.0, 1.4)),
    ("#E69F00", (5.0, 1.4, 2.0, 1.4)),
    ("#0072B2", (2.0, 2.8)),
    ("#009E73", (9.0, 3.0)),
]

_STYLE: dict[Any, Any] = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.5,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "0.25",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "0.25",
    "ytick.color": "0.25",
    "xtick.labelcolor": "0.1",
    "ytick.labelcolor": "0.1",
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.dash_capstyle": "butt",
    "lines.scale_dashes": True,
}


class Panel(NamedTuple):
    """What one panel of learning curves shows.

    `curves` maps names to curves; those without a rate are the learned optimizers'. Only steps from
    `first_step` on are drawn; a curve's first value is that of step `every`, the next that of as
    many steps later: f(θ_1), f(θ_2), … where that is 1. `labels` says how a name is written, where
    it should not stand as it is.
    """

    curves: Mapping[str, Curve]
    title: str | None = None
    y_label: str = "Loss"
    first_step: int = 1
    labels: Mapping[str, str] = {}
    every: int = 1
    x_label: str = "Step"

    def label(self, name: str) -> str:
        """Return how a name is written in the legend."""
        return label_of(name, self.labels)


class Trend(NamedTuple):
    """How an optimizer did at each size of a sweep: the mean and its 95 % interval."""

    mean: Float[np.ndarray, " sizes"]
    low: Float[np.ndarray, " sizes"]
    high: Float[np.ndarray, " sizes"]
    learned: bool


class Sweep(NamedTuple):
    """What one panel of a sweep shows: trends by name over sizes, which increase.

    A dashed line stands at the size `vertical`, and a thin one lies at the level `horizontal`.
    """

    sizes: Sequence[float]
    trends: Mapping[str, Trend]
    title: str | None = None
    x_label: str = "Size"
    y_label: str = "Final loss"
    vertical: float | None = None
    horizontal: float | None = None
    labels: Mapping[str, str] = {}


def learning_curves(panels: Sequence[Panel], *, columns: int = 2) -> "matplotlib.figure.Figure":
    """Draw panels side by side, over one legend that they share.

    Arguments:
        panels: at least one.
        columns: panels a row; each is one column of a two-column page wide.

    Source: figures 4 and 5.

    Example:
        >>> import numpy as np
        >>> curve = Curve(np.array([3.0, 2.0]), np.array([2.0, 1.0]), np.array([4.0, 3.0]), 0.1)
        >>> figure = learning_curves([Panel({"adam": curve}, title="Two steps")])
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['Adam']
    """
    columns = min(columns, len(panels))
    learned = [
        panel.label(name)
        for panel in panels
        for name, curve in panel.curves.items()
        if curve.rate is None
    ]

    def draw(axes: "matplotlib.axes.Axes", panel: Panel) -> None:
        draw_panel(axes, panel, learned)

    return arrange(panels, draw, columns, COLUMN_WIDTH * columns)


def sweeps(panels: Sequence[Sweep]) -> "matplotlib.figure.Figure":
    """Draw sweeps side by side on one loss axis, over one legend that they share.

    Arguments:
        panels: at least one; from two on, they share the width of a two-column page.

    Source: figure 6.

    Example:
        >>> import numpy as np
        >>> adam = Trend(np.array([3.0, 2.0]), np.array([2.0, 1.0]), np.array([4.0, 3.0]), False)
        >>> figure = sweeps([Sweep([10, 20], {"adam": adam}, x_label="Hidden units")])
        >>> figure.axes[0].get_xlabel()
        'Hidden units'
    """
    shown = [trend[:3] for panel in panels for trend in panel.trends.values()]
    levels = [np.asarray([p.horizontal]) for p in panels if p.horizontal is not None]
    shown += [(level,) * 3 for level in levels]

    def draw(axes: "matplotlib.axes.Axes", panel: Sweep) -> None:
        _draw_sweep(axes, panel)
        _scale_losses(axes, shown)
        axes.label_outer()

    return arrange(panels, draw, len(panels), COLUMN_WIDTH * min(len(panels), 2), sharey=True)


def draw_panel(axes: "matplotlib.axes.Axes", panel: Panel, learned: Sequence[str] = ()) -> None:
    """Draw mean learning curves with their 95 % intervals on axes of your own, without a legend.

    The loss axis is logarithmic. Values that it cannot show (not finite, or not positive) are left
    out, and an interval that reaches down to zero is shaded down to the edge. Where a curve ceases
    to be finite and others do not, the axis is fitted to the others.

    Arguments:
        axes: where to draw.
        panel: what to draw.
        learned: labels of learned optimizers in the order of their styles. Panels that are given
            the same ones draw an optimizer alike, whoever else they show.
    """
    from matplotlib.ticker import MaxNLocator

    in_order = styles_of(dict.fromkeys(learned, True))
    styles = styles_of({name: curve.rate is None for name, curve in panel.curves.items()})
    for name, curve in panel.curves.items():
        if curve.rate is None:
            styles[name] = in_order.get(panel.label(name), styles[name])
    first = math.ceil(panel.first_step / panel.every)
    shown = {
        name: [values[first - 1 :] for values in curve[:3]] for name, curve in panel.curves.items()
    }
    for name, values in shown.items():
        steps = panel.every * (first + np.arange(len(values[0])))
        _draw_line(axes, steps, values, panel.label(name), styles[name])
    axes.set_yscale("log")
    within = [values for values in shown.values() if np.isfinite(values[0]).all()]
    _scale_losses(axes, within or shown.values())
    last = max([first, *(len(curve.mean) for curve in panel.curves.values())])
    axes.set_xlim(panel.every * (first - 1), panel.every * last)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(True)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.title is not None:
        axes.set_title(panel.title, loc="left")


def _draw_sweep(axes: "matplotlib.axes.Axes", panel: Sweep) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    reference = {"color": "0.45", "linewidth": 0.9, "zorder": 1.8}
    if panel.vertical is not None:
        axes.axvline(panel.vertical, linestyle=(0, (4.0, 3.0)), **reference)
    if panel.horizontal is not None:
        axes.axhline(panel.horizontal, **reference)
    styles = styles_of({name: trend.learned for name, trend in panel.trends.items()})
    for name, trend in panel.trends.items():
        style = {"marker": ".", "markersize": 4.0, **styles[name], "markevery": 1}
        label = label_of(name, panel.labels)
        _draw_line(axes, np.asarray(panel.sizes), trend[:3], label, style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(panel.sizes[0] / 1.2, panel.sizes[-1] * 1.2)
    axes.xaxis.set_major_locator(FixedLocator(list(panel.sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(True)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.title is not None:
        axes.set_title(panel.title, loc="left")


def _draw_line(
    axes: "matplotlib.axes.Axes",
    x: np.ndarray,
    shown: Sequence[np.ndarray],
    label: str,
    style: Mapping[str, Any],
) -> None:
    """Draw means and the band of their intervals; `shown` is mean, low and high."""
    mean, low, high = map(_positive, shown)
    floor = np.where(np.isnan(low) & ~np.isnan(high), np.finfo(float).tiny, low)
    axes.fill_between(x, floor, high, color=style["color"], alpha=0.16, linewidth=0, zorder=1.5)
    axes.plot(x, mean, label=label, **style)


def arrange(
    panels: Sequence[Any],
    draw: Callable[["matplotlib.axes.Axes", Any], None],
    columns: int,
    width: float,
    sharey: bool = False,
    height: float = 2.25,
) -> "matplotlib.figure.Figure":
    """Draw panels in rows of `columns`, each row so many inches high, over a legend they share."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()
        entries: dict[str, Any] = {}
        for axes, panel in zip(grid, panels, strict=False):
            draw(axes, panel)
            handles, labels = axes.get_legend_handles_labels()
            entries |= dict(zip(labels, handles, strict=True))
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
        # Laid out once and for all; a second pass at another resolution would move things a little.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def save(figure: "matplotlib.figure.Figure", path: str | Path) -> list[Path]:
    """Write a figure as `path`.svg and, at 200 dpi, `path`.png; return the two paths.

    Both are written whole or not at all, and the same figure always gives the same bytes.

    Raises:
        UserError: if a file cannot be written.

    Example:
        >>> import tempfile
        >>> from matplotlib.figure import Figure
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save(Figure(), Path(folder) / "figure4")]
        ['figure4.svg', 'figure4.png']
    """
    path = Path(path)
    written: list[Path] = []
    for suffix in (".svg", ".png"):
        written.append(path.with_name(path.name + suffix))
        write_atomically(written[-1], render(figure, suffix))
    return written


def render(figure: "matplotlib.figure.Figure", suffix: str, dpi: int = 200) -> bytes:
    """Return a figure as the content of a ".svg" or ".png" file, always the same for the same."""
    import matplotlib

    options: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {"dpi": dpi}
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "metadescent"}):
        figure.savefig(content, format=suffix[1:], **options)
    return content.getvalue()


def label_of(name: str, labels: Mapping[str, str]) -> str:
    """Return how a name is written: as `labels` has it, else as in the paper."""
    return labels.get(name, _LABELS.get(name, name))


def styles_of(are_learned: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """Return how each optimizer is drawn; a known baseline looks the same in every figure."""
    styles: dict[str, dict[str, Any]] = {}
    learned = others = 0
    for name, is_learned in are_learned.items():
        if is_learned:
            color, marker = _LEARNED[learned % len(_LEARNED)]
            marks = {"marker": marker, "markersize": 4.0, "markevery": 0.1} if marker else {}
            styles[name] = {"color": color, "linewidth": 2.0, "zorder": 3.0, **marks}
            learned += 1
        else:
            if name in _HAND_DESIGNED:
                color, dashes = _HAND_DESIGNED[name]
            else:
                color, dashes = _OTHERS[others % len(_OTHERS)]
                others += 1
            styles[name] = {
                "color": color,
                "linewidth": 1.3,
                "zorder": 2.5,
                "linestyle": (0, dashes),
            }
    return styles


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """Return the largest number of columns, filled one after the other, that fit a width."""
    for columns in range(min(len(labels), 6), 1, -1):
        size, longer = divmod(len(labels), columns)
        starts = [k * size + min(k, longer) for k in range(columns + 1)]
        longest = [max(map(len, labels[begin:end])) for begin, end in itertools.pairwise(starts)]
        if sum(0.6 + 0.06 * letters for letters in longest) < width:
            return columns
    return 1


def _positive(values: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _scale_losses(axes: "matplotlib.axes.Axes", intervals: Iterable[Sequence[np.ndarray]]) -> None:
    """Fit the loss axis to means and their upper bounds, with ticks at round numbers.

    Each interval is a mean, its low and its high.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

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
    """Return a few round numbers between two positive ones.

    Example:
        >>> _ticks(0.03, 40.0).tolist(), _ticks(0.19, 0.55).round(3).tolist()
        ([0.1, 1.0, 10.0], [0.2, 0.25, 0.3, 0.4, 0.5])
    """
    from matplotlib.ticker import MaxNLocator

    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / 6))
    ticks = np.asarray([low, high])
    for mantissas in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        candidates = [m * 10.0**k for k in range(first, last + 1, every) for m in mantissas]
        ticks = np.asarray([tick for tick in candidates if low <= tick <= high])
        if len(ticks) >= 3:
            return ticks
    ticks = np.asarray(MaxNLocator(4).tick_values(low, high))
    return ticks[(low <= ticks) & (ticks <= high)]


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = value / 10.0**exponent
    factor = "" if abs(mantissa - 1) < 1e-6 else f"{mantissa:g}\\times"
    return f"${factor}10^{{{exponent}}}$"
