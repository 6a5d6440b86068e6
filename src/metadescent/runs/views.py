"""How values appear in a notebook: as the parts of a page, with the picture last."""

from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from metadescent._text import number
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import COLUMNS, Tuned
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.run import draw_run
from metadescent.figures.sweeps import Sweep, Trend, draw_sweeps
from metadescent.runs.checkup import measurements
from metadescent.runs.finding import Finding, Findings
from metadescent.runs.page import Image, Part, Table, render_part
from metadescent.runs.report import comparison_table
from metadescent.runs.run import Run
from metadescent.zoo.cards import read_card, tables
from metadescent.zoo.catalogue import Card, path

if TYPE_CHECKING:
    import matplotlib.figure


def html(value: Any) -> str:
    """Return a value as HTML: its texts and tables, and its picture if it has one."""
    parts, drawn = shown(value), figure_of(value)
    # Pictures are light, because a notebook does not tell its own background.
    if drawn is not None:
        parts = [*parts, Image(drawn, "", style="light")]
    return "<div>\n" + "\n".join(map(render_part, parts)) + "\n</div>"


@singledispatch
def shown(value: Any) -> list[Part]:
    """Return the texts and tables of a value."""
    raise TypeError(f"{type(value).__name__} has no view")


@singledispatch
def figure_of(value: Any) -> "matplotlib.figure.Figure | None":
    """Return the picture of a value, None if there is nothing to draw."""
    return None


@shown.register
def _(curve: Curve) -> list[Part]:
    rows = [
        ("rate", number(curve.rate)),
        ("final loss", number(curve.final)),
        ("95 %", f"[{number(float(curve.low[-1]))}, {number(float(curve.high[-1]))}]"),
        ("mean of the last tenth", number(curve.last_tenth)),
        ("sum", number(curve.sum)),
    ]
    return [Table(["", f"{len(curve.mean)} steps"], rows)]


@figure_of.register
def _(curve: Curve) -> Any:
    name = "learned" if curve.rate is None else f"rate {number(curve.rate)}"
    return draw_curves([Panel({name: curve})])


@shown.register
def _(comparison: Comparison) -> list[Part]:
    text = f"{comparison.problem}: {comparison.steps} steps, {comparison.seeds} fresh problems"
    return [text, comparison_table(comparison)]


@figure_of.register
def _(comparison: Comparison) -> Any:
    return draw_curves([Panel(comparison.curves)]) if comparison.curves else None


@shown.register
def _(tuned: Tuned) -> list[Part]:
    return [Table(COLUMNS, tuned.rows()), f"Best by the {tuned.criterion}."]


@figure_of.register
def _(tuned: Tuned) -> Any:
    losses = np.asarray(tuned.final_losses)
    trend = Trend(losses, losses, losses, learned=False)
    sweep = Sweep(tuned.grid, {"final loss": trend}, x_label="Rate", vertical=tuned.rate)
    return draw_sweeps([sweep])


@shown.register
def _(card: Card) -> list[Part]:
    parts: list[Part] = []
    for block in card.strip().split("\n\n"):
        columns, *rows = tables(block)[0] if block.startswith("|") else [[]]
        parts.append(Table(columns, rows) if columns else block.lstrip("# "))
    return parts


@figure_of.register
def _(card: Card) -> Any:
    losses = (read_card(path(card.name)).get("validation") or {}).get("curve") or []
    metrics = [{"epoch": k, "validation_loss": loss} for k, loss in enumerate(losses, 1)]
    return draw_run(metrics) if metrics else None


@shown.register
def _(run: Run) -> list[Part]:
    return [str(run.folder), *run.findings(), Table(["", "measured"], measurements(run.checkup))]


@figure_of.register
def _(run: Run) -> Any:
    return draw_run(run.metrics, run.checkup.recipe.clip) if run.metrics else None


@shown.register
def _(finding: Finding) -> list[Part]:
    return [finding]


@shown.register
def _(findings: Findings) -> list[Part]:
    return [*findings]
