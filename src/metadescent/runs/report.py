"""Everything that is known and measured of a run, on one page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metadescent._provenance import hardware, versions
from metadescent._text import number
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import Comparison, problem_keys
from metadescent.descent.curves import APART
from metadescent.descent.tuning import FLAT, Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.pictures import Pictures, pictures_of
from metadescent.figures.run import draw_run
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs.checkup import LEARNED, Checkup, count_examined, examine, measurements
from metadescent.runs.doctor import diagnose
from metadescent.runs.finding import Finding
from metadescent.runs.outcome import beside, figure, takes_searches, times
from metadescent.runs.page import Image, Section, Table, render_page


def count_reports(baselines: Sequence[str]) -> int:
    """Return how many times `run_page` reports progress, at most."""
    return count_examined(baselines) + 1


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

    `made` has rows on how the page was made, which are at its end.
    """
    examination = examine(
        m,
        problem,
        checkup.recipe,
        baselines=baselines,
        num_seeds=num_seeds,
        cache=cache,
        progress=progress,
    )
    comparison = examination.comparison
    checkup = checkup._replace(examination=examination)
    # Without a finite loss there is nothing to compare or to draw.
    first: list[Section] = []
    sections: list[Section] = []
    if comparison is not None:
        # The seed is that of the doctor, so that the numbers on the page agree.
        seed = (checkup.recipe.seed + 1) % 2**32
        followers = [name for name in ("sgd", "adam") if name in comparison.tuned]
        rules = {
            name: BASELINES[name].at(comparison.tuned[name].rate, comparison.steps)
            for name in followers
        }
        _, key = problem_keys(seed)
        drawn = pictures_of({LEARNED: m} | rules, problem, key, num_steps=comparison.steps)
        if comparison.tuned:
            said = beside(comparison, LEARNED)
            first = [Section("Speed-up", [f"{said[0].upper()}{said[1:]}."])]
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
    """Return rows on how the page on a run is made now, given the run's configuration."""
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


def comparison_table(comparison: Comparison) -> Table:
    """Return speed-ups, losses and rates, and the times of a step if they were measured."""
    best = comparison.reference
    sign, losses = comparison.beside(best) if best else ("", {})
    seconds = comparison.seconds
    rows = [
        [
            name,
            *([times(comparison.speed_up(name)), figure(losses[name])] if best else []),
            figure(curve.last_tenth, "diverged"),
            *([str(curve.diverged)] if _any_diverged(comparison) else []),
            *([number(1e6 * seconds[name])] if seconds else []),
            figure(curve.final, "diverged"),
            f"[{figure(float(curve.low[-1]))}, {figure(float(curve.high[-1]))}]",
            number(curve.rate),
            *([_span(comparison, name)] if _any_flat(comparison) else []),
            figure(curve.sum, "diverged"),
        ]
        for name, curve in comparison.curves.items()
    ]
    relative, timed = ["speed-up", f"{sign} {best}"] if best else [], ["µs a step"][: len(seconds)]
    counted = ["diverged"][: _any_diverged(comparison)]
    level = ["level rates"][: _any_flat(comparison)]
    columns = ["", *relative, "last 10th", *counted, *timed, "final", "95 %", "rate", *level, "sum"]
    return Table(columns, rows)


def _any_flat(comparison: Comparison) -> bool:
    return any(search.span for search in comparison.tuned.values())


def _span(comparison: Comparison, name: str) -> str:
    return comparison.tuned[name].span if name in comparison.tuned else ""


def _any_diverged(comparison: Comparison) -> bool:
    return any(curve.diverged for curve in comparison.curves.values())


def legend(comparison: Comparison) -> list[str]:
    """Return what the columns of a comparison's table mean."""
    lines = []
    if best := comparison.reference:
        lines.append(
            f"speed-up: the steps that {best}, the best baseline that takes one gradient a step, "
            "takes to its own final loss ÷ the steps that another takes to the same loss."
        )
    if comparison.seconds:
        lines.append(
            f"µs a step: wall-clock time on one problem, of {comparison.seeds} run together, "
            "compilation left out."
        )
    if _any_diverged(comparison):
        lines.append(
            f"diverged: on so many of {comparison.seeds} problems the loss blew up; means leave "
            f"them out, if they are at most one in {APART}."
        )
    if _any_flat(comparison):
        lines.append(
            f"level rates: their final losses in the search are within {FLAT:.0%} of the best "
            "rate's, so none of them is the best for certain."
        )
    if any(map(takes_searches, comparison.tuned)):
        lines.append("lbfgs is charged for each gradient that its line search takes as a step.")
    return lines


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
    table = comparison_table(comparison)
    return Section("Comparison", [Image(drawn, caption), table, *legend(comparison)])


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
