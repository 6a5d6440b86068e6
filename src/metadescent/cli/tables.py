"""Comparisons as tables and figures."""

from pathlib import Path

import pooch

from metadescent.cli.console import output, table
from metadescent.descent.comparison import Comparison
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.output import save_figure
from metadescent.runs.report import comparison_table, legend


def tuning_cache() -> Path:
    """Return the folder where the outcomes of rate searches are kept."""
    return Path(pooch.os_cache("metadescent")) / "tuned"


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison, and the search behind every rate."""
    title = f"{comparison.problem}: {comparison.steps} steps, {comparison.seeds} fresh problems"
    output().print(table(title, *comparison_table(comparison)))
    for line in legend(comparison):
        output().print(line, style="dim")
    for name, tuned in comparison.tuned.items():
        output().print(
            f"{name}: rate {tuned.rate:.3g}, best of {len(tuned.grid)} from "
            f"{tuned.grid[0]:.2g} to {tuned.grid[-1]:.2g}",
            style="dim",
        )
    if comparison.tuned:
        criterion = next(iter(comparison.tuned.values())).criterion
        output().print(f"Rates tuned by the {criterion}.", style="dim")


def save_curves(comparison: Comparison, path: Path) -> None:
    """Write the learning curves as .svg and .png, whichever of the two `path` ends in."""
    save_figure(draw_curves([Panel(comparison.curves)]), path)
