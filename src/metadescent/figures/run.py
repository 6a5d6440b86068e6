"""Pictures of the log of a meta-training run, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metadescent.figures.axes import arrange
from metadescent.figures.style import COLUMN_WIDTH, literal, name_axes

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


class LogPanel(NamedTuple):
    """The contents of a panel: numbers of the log by name, the label of the axis, and names."""

    metrics: Sequence[Mapping[str, Any]]
    labels: Mapping[str, str]
    y_label: str
    level: float | None = None
    level_label: str = ""


_LINES = [("#D55E00", "-"), ("#0072B2", (0, (7.5, 1.8))), ("#009E73", (0, (3.2, 1.4)))]


def draw_run(
    metrics: Sequence[Mapping[str, Any]], clip: float | None = None, *, columns: int = 2
) -> "matplotlib.figure.Figure":
    """Draw losses and the meta-gradient's norm, with the norm it was clipped at, over epochs."""
    start = metrics[-1].get("start")
    losses = {"validation_loss": "validation, at the horizon", "meta_loss": "training, all steps"}
    norms = {"gradient_norm": "median", "gradient_norm_max": "largest"}
    panels = [
        LogPanel(metrics, losses, "Loss", start, "doing nothing"),
        LogPanel(metrics, norms, "Norm of the meta-gradient", clip, "clip"),
    ]
    # A card has no norms.
    panels = [panel for panel in panels if any(panel.labels.keys() & line for line in metrics)]
    columns = min(columns, len(panels))
    return arrange(panels, _draw, columns, columns * COLUMN_WIDTH)


def _draw(axes: "matplotlib.axes.Axes", panel: LogPanel) -> None:
    epochs = [line["epoch"] for line in panel.metrics]
    shown = []
    for (name, label), (color, dashes) in zip(panel.labels.items(), _LINES, strict=False):
        values = np.asarray([_number(line.get(name)) for line in panel.metrics])
        if not any(name in line for line in panel.metrics):
            continue
        shown.append(values)
        # A line through a single point is invisible.
        mark = "." if len(epochs) == 1 else None
        axes.plot(epochs, values, color=color, linestyle=dashes, label=literal(label), marker=mark)
    if panel.level is not None:
        style = {"color": "0.45", "linewidth": 0.9, "linestyle": (0, (1.0, 1.4))}
        axes.axhline(panel.level, label=literal(panel.level_label), **style)
        shown.append(np.asarray([panel.level]))
    values = np.concatenate(shown)
    # A logarithmic axis cannot show a norm of zero or a loss below it.
    if (values[np.isfinite(values)] > 0).all():
        axes.set_yscale("log")
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.locator_params(axis="x", integer=True)
    axes.grid(True)
    name_axes(axes, "Epoch", panel.y_label)


def _number(value: Any) -> float:
    return float(value) if value is not None and np.isfinite(value) else np.nan
