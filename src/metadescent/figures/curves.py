"""Learning curves as the paper draws them (figures 4 and 5)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metadescent.descent.curves import Curve
from metadescent.figures.axes import arrange, scale_losses
from metadescent.figures.lines import (
    blocks_of,
    ceiling,
    diverged,
    draw_line,
    last_finite,
    mark,
    start_of,
    thinned,
)
from metadescent.figures.style import COLUMN_WIDTH, label_of, name_axes, styles_of

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


class Panel(NamedTuple):
    """The contents of a panel of learning curves.

    `curves` maps names to curves; those without a rate are the learned optimizers'. Only steps from
    `first_step` on are drawn. A curve has a value every `every` steps, the first one at step
    `every`: f(θ_1), f(θ_2), … if that is 1. `labels` has the names for the legend that differ from
    those of the curves.
    """

    curves: Mapping[str, Curve]
    title: str | None = None
    y_label: str = "Loss"
    first_step: int = 1
    labels: Mapping[str, str] = {}
    every: int = 1
    x_label: str = "Step"

    def label(self, name: str) -> str:
        """Return the label of a curve in the legend."""
        return label_of(name, self.labels)


def draw_curves(panels: Sequence[Panel], *, columns: int = 2) -> "matplotlib.figure.Figure":
    """Draw panels side by side, over one legend that they share.

    Arguments:
        panels: at least one.
        columns: panels a row; each is one column of a two-column page wide.

    Source: figures 4 and 5.

    Example:
        >>> import numpy as np
        >>> curve = Curve(np.array([3.0, 2.0]), np.array([2.0, 1.0]), np.array([4.0, 3.0]), 0.1)
        >>> figure = draw_curves([Panel({"adam": curve}, title="Two steps")])
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


def draw_panel(axes: "matplotlib.axes.Axes", panel: Panel, learned: Sequence[str] = ()) -> None:
    """Draw mean learning curves with their 95 % intervals on axes of your own, without a legend.

    The loss axis is logarithmic, unless a mean is below zero. Values that it cannot show (not
    finite, or not positive) are left out, and an interval that reaches beyond it is shaded up to
    its edge. If some curves diverge, the axis is fitted to the others, and such a curve ends with a
    cross at its last finite loss, or at the edge. With more than 1000 steps, each point is the mean
    of several steps, as the label of the axis says.

    Arguments:
        axes: where to draw.
        panel: what to draw.
        learned: labels of learned optimizers in the order of their styles. In panels with the same
            labels an optimizer looks the same, whatever else is drawn.
    """
    from matplotlib.ticker import MaxNLocator

    # The style of a learned optimizer depends on its place among those of all panels.
    in_order = styles_of(dict.fromkeys(learned, True))
    styles = styles_of({name: curve.rate is None for name, curve in panel.curves.items()})
    for name, curve in panel.curves.items():
        if curve.rate is None:
            styles[name] = in_order.get(panel.label(name), styles[name])
    first = math.ceil(panel.first_step / panel.every)  # the first value drawn, from one on
    last = max([first, *(len(curve.mean) for curve in panel.curves.values())])
    block = blocks_of(last - first + 1)
    shown = {
        name: thinned(
            panel.every * np.arange(first, len(curve.mean) + 1),
            [values[first - 1 :] for values in curve[:3]],
            block,
        )
        for name, curve in panel.curves.items()
    }
    # A baseline that diverged must not compress the curves of the others.
    start = start_of([curve.mean for curve in panel.curves.values()])
    gone = {name for name, curve in panel.curves.items() if diverged(curve.mean, start)}
    within = [values for name, (_, values) in shown.items() if name not in gone]
    if within:
        # The axis has room for the first losses of curves that diverge.
        firsts = [shown[name][1][0][:1] for name in gone]
        within += [(mean,) * 3 for mean in firsts if (mean <= ceiling(start)).all()]
    scale_losses(axes, within or [values for _, values in shown.values()])
    axes.set_xlim(panel.every * (first - 1), panel.every * last)
    for name, (steps, values) in shown.items():
        draw_line(axes, steps, values, panel.label(name), styles[name])
        if name in gone:
            end = last_finite(panel.curves[name].mean)
            loss = panel.curves[name].mean[end] if end >= 0 else np.nan
            step = panel.every * max(end + 1, first - 1)
            mark(axes, float(step), float(loss), styles[name]["color"], ": last finite loss")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(True)
    each = f" (each point the mean of {block})" if block > 1 else ""
    name_axes(axes, panel.x_label + each, panel.y_label, panel.title)
