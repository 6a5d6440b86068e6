"""Pictures of a meta-training run, epoch by epoch: what it logged."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metadescent.figures.axes import arrange
from metadescent.figures.style import COLUMN_WIDTH

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


class Log(NamedTuple):
    """What one panel shows: numbers of the log by name, and how the axis and the names read."""

    metrics: Sequence[Mapping[str, Any]]
    labels: Mapping[str, str]
    y_label: str
    level: float | None = None
    level_label: str = ""


_LINES = [("#D55E00", "-"), ("#0072B2", (0, (7.5, 1.8))), ("#009E73", (0, (3.2, 1.4)))]


def draw_run(metrics: Sequence[Mapping[str, Any]], clip: float) -> "matplotlib.figure.Figure":
    """Draw the losses and the meta-gradient's norm over the epochs of a run.

    Arguments:
        metrics: what the run logged, a dictionary an epoch; at least one.
        clip: the norm above which meta-gradients were scaled down.

    Example:
        >>> line = {"epoch": 1, "validation_loss": 1.0, "meta_loss": 2.0, "start": 3.0,
        ...     "gradient_norm": 0.1, "gradient_norm_max": 0.4}
        >>> [axes.get_ylabel() for axes in draw_run([line], clip=20.0).axes]
        ['Loss', 'Norm of the meta-gradient']
    """
    start = metrics[-1].get("start")
    losses = {"validation_loss": "validation, at the horizon", "meta_loss": "training, all steps"}
    norms = {"gradient_norm": "median", "gradient_norm_max": "largest"}
    panels = [
        Log(metrics, losses, "Loss", start, "doing nothing"),
        Log(metrics, norms, "Norm of the meta-gradient", clip, "clip"),
    ]
    return arrange(panels, _draw, 2, 2 * COLUMN_WIDTH)


def _draw(axes: "matplotlib.axes.Axes", panel: Log) -> None:
    epochs = [line["epoch"] for line in panel.metrics]
    shown = []
    for (name, label), (color, dashes) in zip(panel.labels.items(), _LINES, strict=False):
        values = np.asarray([_number(line.get(name)) for line in panel.metrics])
        shown.append(values)
        mark = "." if len(epochs) == 1 else None
        axes.plot(epochs, values, color=color, linestyle=dashes, label=label, marker=mark)
    if panel.level is not None:
        style = {"color": "0.45", "linewidth": 0.9, "linestyle": (0, (1.0, 1.4))}
        axes.axhline(panel.level, label=panel.level_label, **style)
        shown.append(np.asarray([panel.level]))
    values = np.concatenate(shown)
    if (values[np.isfinite(values)] > 0).all():
        axes.set_yscale("log")
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.locator_params(axis="x", integer=True)
    axes.grid(True)
    axes.set_xlabel("Epoch")
    axes.set_ylabel(panel.y_label)


def _number(value: Any) -> float:
    return float(value) if value is not None and np.isfinite(value) else np.nan
