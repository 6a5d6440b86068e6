"""Pictures of proposed updates, as in appendix B: histories, and functions of the gradient.

As in every figure, learned optimizers are solid and hand-designed ones dashed. The trajectory is
that of the first optimizer.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from metadescent.descent.proposals import Histories
from metadescent.figures.axes import arrange
from metadescent.figures.style import COLUMN_WIDTH, label_of, name_axes, styles_of

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

# A panel has room for so many times the first optimizer's largest update.
STRETCH = 3.0


class HistoryPanel(NamedTuple):
    """One coordinate's updates g_0, g_1, … by each optimizer; `learned` names the learned ones."""

    updates: Mapping[str, Float[np.ndarray, " steps"]]
    learned: Sequence[str]
    title: str | None = None
    labels: Mapping[str, str] = {}


class FunctionPanel(NamedTuple):
    """One coordinate's update at one step, as a function of the gradient."""

    gradients: Float[np.ndarray, " points"]
    updates: Mapping[str, Float[np.ndarray, " points"]]
    actual: Mapping[str, tuple[float, float]]  # the gradient that occurred, and the update at it
    learned: Sequence[str]
    title: str | None = None
    labels: Mapping[str, str] = {}


def history_panels(
    seen: Histories, coordinates: Sequence[int], learned: Sequence[str]
) -> list[HistoryPanel]:
    """Return a panel for each of some coordinates."""
    updates = {name: np.asarray(g) for name, g in seen.updates.items()}
    return [
        HistoryPanel({name: g[:, i] for name, g in updates.items()}, learned, f"Coordinate {i}")
        for i in coordinates
    ]


def function_panels(
    seen: Histories,
    coordinate: int,
    gradients: Float[np.ndarray, " points"],
    curves: Mapping[str, Float[np.ndarray, "steps points"]],
    learned: Sequence[str],
) -> list[FunctionPanel]:
    """Return a panel for each step of one coordinate; `curves` has its updates by optimizer."""
    curves = {name: np.asarray(curve) for name, curve in curves.items()}
    at = np.asarray(seen.gradients[:, coordinate])
    updates = {name: np.asarray(g[:, coordinate]) for name, g in seen.updates.items()}
    return [
        FunctionPanel(
            gradients,
            {name: curve[t] for name, curve in curves.items()},
            {name: (float(at[t]), float(updates[name][t])) for name in curves},
            learned,
            f"Step {t + 1}",
        )
        for t in range(len(next(iter(curves.values()))))
    ]


def draw_histories(panels: Sequence[HistoryPanel]) -> "matplotlib.figure.Figure":
    """Draw histories of updates one above the other (figure 10)."""
    return arrange(panels, _draw_history, 1, 2 * COLUMN_WIDTH, height=1.9)


def draw_functions(
    panels: Sequence[FunctionPanel], *, columns: int = 4
) -> "matplotlib.figure.Figure":
    """Draw updates as functions of the gradient, step by step (figures 11 to 13)."""
    columns = min(columns, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    # Updates become small during a run, so each row has a scale of its own.
    limits = {id(panel): _limit(row) for row in rows for panel in row}

    def draw(axes: "matplotlib.axes.Axes", panel: FunctionPanel) -> None:
        _draw_function(axes, panel)
        axes.set_ylim(-limits[id(panel)], limits[id(panel)])
        axes.label_outer()

    return arrange(panels, draw, columns, 2 * COLUMN_WIDTH, height=1.15, letters=False)


def _draw_history(axes: "matplotlib.axes.Axes", panel: HistoryPanel) -> None:
    styles = styles_of({name: name in panel.learned for name in panel.updates})
    for name, updates in panel.updates.items():
        steps = np.arange(1, len(updates) + 1)
        axes.plot(steps, _finite(updates), label=label_of(name, panel.labels), **styles[name])
    axes.set_xlim(1, max(2, *(len(updates) for updates in panel.updates.values())))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.grid(True)
    name_axes(axes, "Step", "Update", panel.title)


def _draw_function(axes: "matplotlib.axes.Axes", panel: FunctionPanel) -> None:
    styles = styles_of({name: name in panel.learned for name in panel.updates})
    for name, updates in panel.updates.items():
        style = {**styles[name], "linewidth": 0.7 * styles[name]["linewidth"]}
        label = label_of(name, panel.labels)
        axes.plot(panel.gradients, _finite(updates), label=label, **style)
        # The dot is the gradient and the update that occurred.
        axes.plot(*panel.actual[name], ".", color=style["color"], markersize=4.0, zorder=4.0)
    axes.set_xlim(panel.gradients[0], panel.gradients[-1])
    axes.locator_params(nbins=3)
    for axis in ("x", "y"):
        axes.ticklabel_format(axis=axis, style="sci", scilimits=(-2, 3))
    axes.grid(True)
    name_axes(axes, "Gradient", "Update", panel.title, pad=3.0)


def _limit(panels: Sequence[FunctionPanel]) -> float:
    """Return the limit of the axes of one row, up and down."""
    largest: dict[str, float] = {}
    for panel in panels:
        for name, updates in panel.updates.items():
            seen = np.abs(_finite(updates))
            if not np.isnan(seen).all():
                largest[name] = max(largest.get(name, 0.0), float(np.nanmax(seen)))
    if not largest:
        return 1.0
    # The first optimizer's curves are fully visible, and the others' as far as there is room.
    first = largest.get(next(iter(panels[0].updates)), 0.0) or max(largest.values())
    return 1.1 * max(min(value, STRETCH * first) for value in largest.values()) or 1.0


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values, np.nan)
