"""Scores of the bench as tables."""

import math
from collections.abc import Sequence
from pathlib import Path

import pooch

from metadescent._text import number
from metadescent.bench.score import Summary, TaskScore, summarized
from metadescent.cli.console import output, table
from metadescent.figures.benches import SpeedUps
from metadescent.runs.benching import score_from
from metadescent.runs.benchings import Piece

COLUMNS = (
    *("task", "speed-up", "over AdamW", "below Adam", "held out", "at best", "diverged"),
    *("ms a step", "rate"),
)
LEGEND = (
    "speed-up: the steps in which Adam, at the best of 15 constant rates for each step, comes down "
    "to its final loss ÷ the steps of the optimizer to the same; over AdamW: the same beside AdamW "
    "with warm-up and cosine, rate and decay tuned.",
    "below Adam: it ends below Adam at 1e-3. held out: its final held-out loss ÷ that of tuned "
    "AdamW; at best: the same at the best point of each.",
)


def cache() -> Path:
    """Return the folder for references that do not come with the package."""
    return Path(pooch.os_cache("metadescent")) / "bench"


def print_scores(pieces: Sequence[Piece]) -> None:
    """Print a table of tasks for each optimizer and horizon, and a summary of each."""
    for optimizer, steps in dict.fromkeys(map(_group, pieces)):
        group = [piece for piece in pieces if _group(piece) == (optimizer, steps)]
        rows = [_row(piece) for piece in group]
        output().print(table(f"{_short(optimizer)}, {steps} steps", COLUMNS, rows))
        for line in summary_of([score_from(piece["result"]) for piece in group]):
            output().print(line)
    for line in LEGEND:
        output().print(line, style="dim")


def panels_of(pieces: Sequence[Piece]) -> list[SpeedUps]:
    """Return speed-ups by horizon, optimizer and task, as they are drawn."""
    panels: dict[int, dict[str, dict[str, float]]] = {}
    for piece in pieces:
        optimizer, steps = _group(piece)
        by_task = panels.setdefault(steps, {}).setdefault(_short(optimizer), {})
        by_task[piece["of"]["task"]] = score_from(piece["result"]).speed_up
    return [SpeedUps(f"{steps} steps", gains) for steps, gains in panels.items()]


def summary_of(scores: Sequence[TaskScore]) -> list[str]:
    """Return a summary of scores, one sentence for each number."""
    n, runs = len(scores), sum(score.seeds for score in scores)
    never = sum(score.speed_up == 0 for score in scores)
    return [
        f"Speed-up over Adam's constant rates: {_said(summarized([s.speed_up for s in scores]))}; "
        f"never there on {never} of {n} tasks.",
        f"Over AdamW: {_said(summarized([s.against_adamw for s in scores]))}.",
        f"Below Adam at 1e-3 on {sum(score.beats_default for score in scores)} of {n} tasks.",
        "Held-out loss beside AdamW: at the end "
        f"{_said(summarized([s.held_out_end for s in scores], larger_is_better=False))}, at best "
        f"{_said(summarized([s.held_out_best for s in scores], larger_is_better=False))}.",
        f"Diverged: {sum(score.diverged for score in scores)} of {runs} runs.",
    ]


def _said(summary: Summary) -> str:
    return (
        f"median {number(summary.median)} [{number(summary.low)}, {number(summary.high)}], "
        f"interquartile mean {number(summary.interquartile_mean)}, worst decile "
        f"{number(summary.worst_decile)}"
    )


def _row(piece: Piece) -> list[str]:
    score, of = score_from(piece["result"]), piece["of"]
    ms = 1e3 * score.seconds / (of["steps"] * score.seeds)
    return [
        of["task"],
        _times(score.speed_up),
        _times(score.against_adamw),
        "yes" if score.beats_default else "no",
        _ratio(score.held_out_end),
        _ratio(score.held_out_best),
        str(score.diverged or ""),
        number(ms),
        piece["result"]["rate"],
    ]


def _group(piece: Piece) -> tuple[str, int]:
    return piece["of"]["optimizer"], piece["of"]["steps"]


def _short(optimizer: str) -> str:
    return Path(optimizer).name


def _times(gain: float) -> str:
    return "never" if gain == 0 else _ratio(gain)


def _ratio(x: float) -> str:
    return "–" if math.isnan(x) else f"{x:.2f}"
