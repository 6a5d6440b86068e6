"""Comparisons as tables and figures."""

import math
from pathlib import Path

import pooch

from metadescent.cli.console import output, table
from metadescent.descent.beginnings import is_begun
from metadescent.descent.comparison import Comparison
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.output import Style, save_figure
from metadescent.runs.report import comparison_table, legend


def tuning_cache() -> Path:
    """Return the folder where the outcomes of rate searches are kept."""
    return Path(pooch.os_cache("metadescent")) / "tuned"


def print_comparison(comparison: Comparison) -> None:
    """Print a comparison, and the search behind every rate."""
    title = f"{comparison.problem}: {comparison.steps} steps, {comparison.seeds} fresh problems"
    columns, rows = comparison_table(comparison)
    marked = [[f"{name}{_mark(comparison, name)}", *figures] for name, *figures in rows]
    output().print(table(title, columns, marked))
    for line in legend(comparison):
        output().print(line, style="dim")
    searched = {name: tuned for name, tuned in comparison.tuned.items() if tuned.grid}
    for name, tuned in searched.items():
        output().print(
            f"{name}: rate {tuned.rate:.3g}, best of {len(tuned.grid)} from "
            f"{tuned.grid[0]:.2g} to {tuned.grid[-1]:.2g}"
            + (f"; {tuned.span} are level with it" if tuned.span else ""),
            style="dim",
        )
    if searched:
        criterion = next(iter(searched.values())).criterion
        output().print(f"Rates tuned by the {criterion}.", style="dim")


def _mark(comparison: Comparison, name: str) -> str:
    """Return a text that marks the winner, or an optimizer behind a tuned one, without colour."""
    # A rule as it begins is a control, and does not compete.
    if is_begun(name):
        return ""
    curves = {other: curve for other, curve in comparison.curves.items() if not is_begun(other)}
    # An optimizer that diverged has NaN, and does not win.
    ends = {other: curve.last_tenth for other, curve in curves.items()}
    ends = {other: math.inf if math.isnan(end) else end for other, end in ends.items()}
    if not comparison.tuned:
        return ""
    if ends[name] == min(ends.values()):
        return " (best)"
    # As in the sentence below the table, this is the best that takes one gradient a step.
    best = comparison.reference
    if best is None or name in comparison.tuned or ends[name] < ends[best]:
        return ""
    beside = comparison.standings(name).get(best) if name in comparison.losses else None
    return " (behind)" if beside is None or beside.sign < 0 else " (level)"


def save_curves(comparison: Comparison, path: Path, style: Style = "light") -> None:
    """Write the learning curves as .svg and .png, whichever of them `path` ends in."""
    save_figure(draw_curves([Panel(comparison.curves)]), path, style=style)
