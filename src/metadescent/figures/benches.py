"""The speed-ups of the bench, task by task (no figure of the paper)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from metadescent.figures.style import COLUMN_WIDTH

if TYPE_CHECKING:
    import matplotlib.figure

ROW = 0.16
"""Inches a task."""
LEAST = 0.1
"""Where what never gets there is drawn: left of all that does."""
MARKS = "osD^v<>P"


def draw_speed_ups(
    panels: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> "matplotlib.figure.Figure":
    """Draw speed-ups, a panel for each horizon, a row for each task and a mark for each optimizer.

    Arguments:
        panels: title → optimizer → task → speed-up; 0 is never, and is drawn on the left edge.

    Example:
        >>> figure = draw_speed_ups({"500 steps": {"m": {"mnist-mlp": 2.0, "wine": 0.0}}})
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['wine', 'mnist-mlp']
    """
    from matplotlib.figure import Figure

    first = next(iter(panels.values()))
    lead = next(iter(first.values()))
    tasks = sorted(lead, key=lambda task: lead[task])
    figure = Figure(
        figsize=(COLUMN_WIDTH * (0.6 + len(panels)), 1.0 + ROW * len(tasks)), layout="constrained"
    )
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for ax, (title, by_optimizer) in zip(axes, panels.items(), strict=True):
        ax.axvline(1.0, color="0.5", linewidth=0.8)
        for k, (name, gains) in enumerate(by_optimizer.items()):
            shown = [(max(gains[task], LEAST), i) for i, task in enumerate(tasks) if task in gains]
            ax.plot(
                *np.asarray(shown).reshape(-1, 2).T,
                linestyle="",
                marker=MARKS[k % len(MARKS)],
                markersize=4,
                label=name,
            )
            if any(gain == 0 for gain in gains.values()):
                ax.axvspan(LEAST / 1.3, LEAST * 1.3, color="0.9", zorder=0)
        ax.set_xscale("log")
        ax.set_title(title)
        ax.set_xlabel("Speed-up over Adam's constant rates")
    axes[0].set_yticks(range(len(tasks)), tasks)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
