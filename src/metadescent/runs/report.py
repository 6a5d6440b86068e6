"""All that there is to say of a run, measured and put on one page."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from metadescent._provenance import hardware, versions
from metadescent._text import number
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.descent.tuning import Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.pictures import Pictures, pictures_of
from metadescent.figures.run import draw_run
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs.checkup import REPORTS, Checkup, examine, measurements
from metadescent.runs.doctor import Finding, diagnose
from metadescent.runs.page import Image, Section, Table, render_page

LEARNED = "learned"


def count_reports(baselines: Sequence[str]) -> int:
    """Return how many times `run_page` reports progress, at most."""
    return REPORTS + 2 * len(baselines) + 2


def run_page(
    checkup: Checkup,
    m: LearnedOptimizer,
    problem: Problem,
    problem_name: str,
    *,
    baselines: Sequence[str],
    num_seeds: int,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    made: Sequence[Sequence[str]] = (),
) -> tuple[str, list[Finding]]:
    """Return a run's page, and the verdicts on it; `m` is the best optimizer of the run.

    `made` are rows on how the page was made, which end it.
    """
    examination = examine(
        m, problem, checkup.recipe, num_seeds=num_seeds, cache=cache, progress=progress
    )
    checkup = checkup._replace(examination=examination)
    # Without a finite loss there is nothing to compare or to draw.
    first: list[Section] = []
    sections: list[Section] = []
    if examination.mine is not None:
        # The doctor's problems, so that the numbers on the page agree.
        seed = (checkup.recipe.seed + 1) % 2**32
        comparison = compare(
            {LEARNED: m},
            problem,
            problem_name,
            baselines=list(baselines),
            num_steps=checkup.recipe.steps,
            num_seeds=num_seeds,
            seed=seed,
            cache=cache,
            progress=progress,
        )
        followers = [name for name in ("sgd", "adam") if name in comparison.tuned]
        rules = {name: BASELINES[name].at(comparison.tuned[name].rate) for name in followers}
        _, key = problem_keys(seed)
        drawn = pictures_of({LEARNED: m} | rules, problem, key, num_steps=comparison.steps)
        if text := speed_up(comparison):
            first = [Section("Speed-up", [text])]
        sections = [_comparison(comparison), _updates(drawn)]
        progress("traced updates")
    findings = diagnose(checkup)
    text = render_page(
        f"Meta-training on {problem_name}",
        _lead(checkup),
        [
            *first,
            Section("The doctor says", findings),
            *_training(checkup),
            *sections,
            Section("Measurements", [Table(["", "measured"], measurements(checkup))]),
            Section("Configuration", [_configuration(problem_name, checkup)]),
            *([Section("Made by", [Table(["", "value"], made)])] if made else []),
        ],
    )
    return text, findings


def made_by(command: str, config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return rows on how a page on the run of this configuration is made, here and now."""
    now = datetime.now(UTC)
    begun = (config.get("origin") or {}).get("versions", {})
    return [
        ("date", f"{now:%Y-%m-%d %H:%M} UTC"),
        ("command", command),
        ("versions", _listed(versions())),
        ("hardware", hardware()),
        *([("run begun by", _listed(begun))] if begun else []),
    ]


def _listed(named: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in named.items())


def speed_up(comparison: Comparison) -> str:
    """Say how much sooner the learned optimizer is where the best tuned one ends; "" if none is."""
    if not comparison.tuned:
        return ""
    name = comparison.best_baseline(lambda curve: curve.last_tenth)
    rival, mine = comparison.curves[name], comparison.curves[LEARNED]
    level, label = rival.last_tenth, BASELINES[name].label
    if not math.isfinite(level):
        return "Every tuned hand-designed optimizer diverged, so there is none to compare with."
    theirs, ours = (np.flatnonzero(curve.mean <= level) + 1 for curve in (rival, mine))
    where = f"the loss of {number(level)} that {label}, the best of those tuned, ends at"
    if not len(ours):
        return (
            f"Not as far as {label}: {where} is not reached in {comparison.steps} steps, after "
            f"which the loss is {number(mine.last_tenth)}."
        )
    return (
        f"{number(theirs[0] / ours[0])} times as fast as {label}: {where} is reached at step "
        f"{ours[0]}, and by {label} at step {theirs[0]} of {comparison.steps}."
    )


def comparison_table(comparison: Comparison) -> Table:
    """Return final losses, sums and rates, and where times were measured those of a step."""
    best = comparison.best_baseline(lambda c: c.last_tenth) if comparison.tuned else None
    sign, beside = comparison.beside(best) if best else ("", {})
    rows = [
        [
            name,
            number(curve.rate),
            number(curve.final),
            f"[{number(float(curve.low[-1]))}, {number(float(curve.high[-1]))}]",
            number(curve.last_tenth),
            number(curve.sum),
            number(beside.get(name)),
        ]
        for name, curve in comparison.curves.items()
    ]
    columns = ["", "rate", "final", "95 %", "last 10th", "sum", f"{sign} {best}" if best else ""]
    if comparison.seconds:
        # Costs are relative to the first, the learned one.
        first = comparison.seconds[next(iter(comparison.curves))]
        columns.append("cost a step")
        rows = [[*row, number(comparison.seconds[row[0]] / first)] for row in rows]
    return Table(columns, rows)


def _lead(checkup: Checkup) -> str:
    recipe, epochs = checkup.recipe, len(checkup.metrics)
    return f"{recipe.optimizer}, {epochs} of {recipe.epochs} epochs, horizon {recipe.steps} steps."


def _training(checkup: Checkup) -> list[Section]:
    if not checkup.metrics:
        return []
    drawn = draw_run(checkup.metrics, checkup.recipe.clip, columns=1)
    caption = "Loss, and norm of the meta-gradient, epoch by epoch"
    return [Section("Meta-training", [Image(drawn, caption)])]


def _comparison(comparison: Comparison) -> Section:
    drawn = draw_curves([Panel(comparison.curves)])
    caption = (
        f"Learning curves on {comparison.seeds} fresh problems, mean and 95 % interval; every "
        "hand-designed optimizer at the rate that serves it best"
    )
    return Section("Comparison", [Image(drawn, caption), comparison_table(comparison)])


def _updates(drawn: Pictures) -> Section:
    first = drawn.coordinates[0]
    return Section(
        "What it does",
        [
            Image(
                drawn.histories(),
                "Updates along one trajectory of the learned optimizer, and those that others "
                "would have proposed there",
            ),
            Image(
                drawn.functions(first),
                f"The update of coordinate {first} as a function of its gradient, step by step, "
                "with the history of gradients held; dots are what happened",
            ),
        ],
    )


def _configuration(problem_name: str, checkup: Checkup) -> Table:
    choices = vars(checkup.recipe).items()
    rows = [["problem", problem_name], *([name, str(value)] for name, value in choices)]
    return Table(["", "value"], rows)
