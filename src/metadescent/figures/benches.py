"""The speed-ups of the bench, task by task (no figure of the paper)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metadescent.figures.axes import arrange
from metadescent.figures.style import COLUMN_WIDTH, literal, name_axes

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

ROW, AROUND = 0.16, 0.7
"""The height in inches of a task, and of the space above and below all of them."""
NEVER = 0.1
"""The place for what never reaches the loss: left of all that does."""
MARKS = (("#D55E00", "o"), ("#56B4E9", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#000000", "v"))


class SpeedUps(NamedTuple):
    """The contents of a panel: each optimizer's speed-up on each task, 0 for never."""

    title: str
    by_optimizer: Mapping[str, Mapping[str, float]]


def draw_speed_ups(panels: list[SpeedUps]) -> "matplotlib.figure.Figure":
    """Draw speed-ups: a panel for each horizon, a row for each task, a mark for each optimizer.

    Arguments:
        panels: at least one; the rows are in the order of the first optimizer of the first.

    Example:
        >>> figure = draw_speed_ups([SpeedUps("500 steps", {"m": {"mlp": 2.0, "wine": 0.0}})])
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['wine', 'mlp']
    """
    first = next(iter(panels[0].by_optimizer.values()))
    others = [task for p in panels for gains in p.by_optimizer.values() for task in gains]
    tasks = sorted(dict.fromkeys([*first, *others]), key=lambda task: first.get(task, 0.0))

    def draw(axes: "matplotlib.axes.Axes", panel: SpeedUps) -> None:
        _draw(axes, panel, tasks)

    return arrange(
        panels,
        draw,
        len(panels),
        COLUMN_WIDTH * (0.6 + 0.7 * len(panels)),
        sharey=True,
        height=AROUND + ROW * len(tasks),
        letters=False,
    )


def _draw(axes: "matplotlib.axes.Axes", panel: SpeedUps, tasks: list[str]) -> None:
    axes.axvline(1.0, color="0.6", linewidth=0.8, zorder=1.0)
    for k, (name, gains) in enumerate(panel.by_optimizer.items()):
        color, marker = MARKS[k % len(MARKS)]
        places = [i for i, task in enumerate(tasks) if task in gains]
        shown = [max(gains[tasks[i]], NEVER) for i in places]
        marks: dict[str, Any] = {"linestyle": "", "marker": marker, "markersize": 4.0}
        axes.plot(shown, places, color=color, label=literal(name), zorder=3.0 - 0.01 * k, **marks)
    axes.set_xscale("log")
    axes.set_ylim(-0.7, len(tasks) - 0.3)
    axes.set_yticks(range(len(tasks)), [literal(task) for task in tasks])
    axes.grid(axis="y")
    gains = [gain for of_one in panel.by_optimizer.values() for gain in of_one.values()]
    low, high = NEVER / 1.4, max(2.0, 1.3 * float(np.nanmax(gains)))
    axes.set_xlim(low, high)
    if any(gain == 0 for gain in gains):
        axes.axvspan(low, NEVER * 1.4, color="0.94", zorder=0.5, linewidth=0)
    ticks = [tick for tick in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if tick <= high]
    axes.set_xticks([NEVER, *ticks], ["never", *(f"{tick:g}" for tick in ticks)])
    axes.minorticks_off()
    name_axes(axes, "Speed-up over Adam's constant rates", "", panel.title)
