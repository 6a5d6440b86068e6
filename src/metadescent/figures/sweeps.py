"""Sweeps: how optimizers do at each of several sizes (figure 6)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent.figures.axes import arrange, scale_losses
from metadescent.figures.lines import draw_line, mark
from metadescent.figures.style import COLUMN_WIDTH, label_of, name_axes, styles_of

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


class Trend(NamedTuple):
    """An optimizer's results at each size of a sweep: the mean and its 95 % interval."""

    mean: Float[np.ndarray, " sizes"]
    low: Float[np.ndarray, " sizes"]
    high: Float[np.ndarray, " sizes"]
    learned: bool


class Sweep(NamedTuple):
    """The contents of a panel: trends by name, over sizes in increasing order.

    A dashed vertical line is drawn at the size `vertical`, a thin one at the level `horizontal`.
    """

    sizes: Sequence[float]
    trends: Mapping[str, Trend]
    title: str | None = None
    x_label: str = "Size"
    y_label: str = "Final loss"
    vertical: float | None = None
    horizontal: float | None = None
    labels: Mapping[str, str] = {}


def draw_sweeps(panels: Sequence[Sweep]) -> "matplotlib.figure.Figure":
    """Draw sweeps side by side on one loss axis, over one legend that they share.

    Arguments:
        panels: at least one; from two on, they share the width of a two-column page.

    Source: figure 6.

    Example:
        >>> import numpy as np
        >>> adam = Trend(np.array([3.0, 2.0]), np.array([2.0, 1.0]), np.array([4.0, 3.0]), False)
        >>> figure = draw_sweeps([Sweep([10, 20], {"adam": adam}, x_label="Hidden units")])
        >>> figure.axes[0].get_xlabel()
        'Hidden units'
    """
    # All panels share a loss axis, which fits every trend and level.
    shown = [trend[:3] for panel in panels for trend in panel.trends.values()]
    levels = [np.asarray([p.horizontal]) for p in panels if p.horizontal is not None]
    shown += [(level,) * 3 for level in levels]

    def draw(axes: "matplotlib.axes.Axes", panel: Sweep) -> None:
        scale_losses(axes, shown)
        _draw_sweep(axes, panel)
        axes.label_outer()

    return arrange(panels, draw, len(panels), COLUMN_WIDTH * min(len(panels), 2), sharey=True)


def _draw_sweep(axes: "matplotlib.axes.Axes", panel: Sweep) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    reference = {"color": "0.45", "linewidth": 0.9, "zorder": 1.8}
    if panel.vertical is not None:
        axes.axvline(panel.vertical, linestyle=(0, (4.0, 3.0)), **reference)
    if panel.horizontal is not None:
        axes.axhline(panel.horizontal, **reference)
    styles = styles_of({name: trend.learned for name, trend in panel.trends.items()})
    for name, trend in panel.trends.items():
        # Every size has a marker, even if the style has one in ten.
        style = {"marker": ".", "markersize": 4.0, **styles[name], "markevery": 1}
        label = label_of(name, panel.labels)
        draw_line(axes, np.asarray(panel.sizes), trend[:3], label, style)
        for size in np.asarray(panel.sizes)[~np.isfinite(trend.mean)]:
            mark(axes, float(size), np.nan, style["color"])
    axes.set_xscale("log")
    axes.set_xlim(panel.sizes[0] / 1.2, panel.sizes[-1] * 1.2)
    # With many sizes the labels would overlap.
    if len(panel.sizes) <= 8:
        axes.xaxis.set_major_locator(FixedLocator(list(panel.sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(True)
    name_axes(axes, panel.x_label, panel.y_label, panel.title)
