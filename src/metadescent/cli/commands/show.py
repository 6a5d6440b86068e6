"""Comparisons as tables and figures."""

from pathlib import Path

import pooch

from metadescent.cli.console import console, figure, table
from metadescent.descent.comparison import Comparison


def tuning_cache() -> Path:
    """Return the folder where the outcomes of rate searches are kept."""
    return Path(pooch.os_cache("metadescent")) / "tuned"


def comparison_rows(result: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of a comparison's table.

    Where times were measured, the last column has those of a step beside the first optimizer's.
    """
    best = result.best_baseline(lambda c: c.last_tenth) if result.tuned else None
    reference = result.curves[best].last_tenth if best else None
    rows = [
        [
            name,
            figure(curve.rate),
            figure(curve.final),
            f"[{figure(float(curve.low[-1]))}, {figure(float(curve.high[-1]))}]",
            figure(curve.last_tenth),
            figure(curve.sum),
            figure(curve.last_tenth / reference if reference else None),
        ]
        for name, curve in result.curves.items()
    ]
    ratio = f"÷ {best}" if best else ""
    columns = ["", "rate", "final", "95 %", "last 10th", "sum", ratio]
    if result.seconds:
        first = result.seconds[next(iter(result.curves))]
        columns.append("cost a step")
        rows = [[*row, figure(result.seconds[row[0]] / first)] for row in rows]
    return columns, rows


def show(result: Comparison) -> None:
    """Print a comparison, and the search behind every rate."""
    title = f"{result.problem}: {result.steps} steps, {result.seeds} fresh problems"
    columns, rows = comparison_rows(result)
    console().print(table(title, columns, rows))
    for name, tuned in result.tuned.items():
        console().print(
            f"{name}: rate {tuned.rate:.3g}, best of {len(tuned.grid)} from "
            f"{tuned.grid[0]:.2g} to {tuned.grid[-1]:.2g}",
            style="dim",
        )
    if result.tuned:
        criterion = next(iter(result.tuned.values())).criterion
        console().print(f"Rates tuned by the {criterion}.", style="dim")


def plot(result: Comparison, path: Path) -> None:
    """Write the learning curves as .svg and .png, whichever of the two `path` ends in."""
    from metadescent.figures.curves import Panel, draw_curves
    from metadescent.figures.output import save_figure

    stem = path.with_suffix("") if path.suffix in (".svg", ".png") else path
    save_figure(draw_curves([Panel(result.curves)]), stem)
