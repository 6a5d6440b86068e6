"""`report`: all that there is to say of a run, on one page."""

from typing import Any

from metadescent._files import write_atomically
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.commands.doctor import say
from metadescent.cli.commands.evaluate import baselines_of
from metadescent.cli.commands.show import comparison_rows, tuning_cache
from metadescent.cli.console import console, progress
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.pictures import Pictures, pictures
from metadescent.figures.run import draw_run
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.registry import make_problem
from metadescent.runs.checkup import REPORTS, Checkup, best_of, examine, read
from metadescent.runs.doctor import diagnose
from metadescent.runs.log import read_config
from metadescent.runs.measurements import measurements
from metadescent.runs.report import Image, Section, Table, page

LEARNED = "learned"


@run.register
def _report(command: arguments.Report) -> None:
    names, checkup = baselines_of(command.against), read(command.run)
    name = read_config(command.run)["problem"]
    problem = make_problem(name, command.data_dir)
    m = best_of(command.run, checkup.recipe)
    sections: list[Section] = []
    with progress("report", REPORTS + 2 * len(names) + 2) as report:

        def tell(text: str) -> None:
            report(text, 1)

        found = examine(
            m,
            problem,
            checkup.recipe,
            num_seeds=command.seeds,
            cache=tuning_cache(),
            progress=tell,
        )
        checkup = checkup._replace(examination=found)
        if found.mine is not None:
            result = _compare(command, names, m, problem, name, checkup, tell)
            sections = [_comparison(result), _updates(_pictures(result, m, problem, checkup))]
            tell("traced updates")
    findings = diagnose(checkup)
    text = page(
        f"Meta-training on {name}",
        _lead(checkup),
        [
            Section("The doctor says", findings),
            *_training(checkup),
            *sections,
            Section("Measurements", [Table(["", "measured"], measurements(checkup))]),
            Section("Configuration", [_configuration(name, checkup)]),
        ],
    )
    path = command.out or command.run / "report.html"
    write_atomically(path, text)
    say(findings)
    console().print(f"Report: {path}")


def _compare(
    command: arguments.Report,
    names: list[str],
    m: LearnedOptimizer,
    problem: Problem,
    name: str,
    checkup: Checkup,
    progress: Any,
) -> Comparison:
    """Compare on the fresh problems that the doctor looked at."""
    return compare(
        {LEARNED: m},
        problem,
        name,
        baselines=names,
        num_steps=checkup.recipe.steps,
        num_seeds=command.seeds,
        seed=(checkup.recipe.seed + 1) % 2**32,
        cache=tuning_cache(),
        progress=progress,
    )


def _pictures(
    result: Comparison, m: LearnedOptimizer, problem: Problem, checkup: Checkup
) -> Pictures:
    followers = [name for name in ("sgd", "adam") if name in result.tuned]
    rules = {name: BASELINES[name].make(result.tuned[name].rate) for name in followers}
    _, key = problem_keys((checkup.recipe.seed + 1) % 2**32)
    return pictures({LEARNED: m} | rules, problem, key, num_steps=result.steps)


def _lead(checkup: Checkup) -> str:
    recipe, epochs = checkup.recipe, len(checkup.metrics)
    return f"{recipe.optimizer}, {epochs} of {recipe.epochs} epochs, horizon {recipe.steps} steps."


def _training(checkup: Checkup) -> list[Section]:
    if not checkup.metrics:
        return []
    drawn = draw_run(checkup.metrics, checkup.recipe.clip)
    caption = "Loss, and norm of the meta-gradient, epoch by epoch"
    return [Section("Meta-training", [Image(drawn, caption)])]


def _comparison(result: Comparison) -> Section:
    columns, rows = comparison_rows(result)
    drawn = draw_curves([Panel(result.curves)])
    caption = (
        f"Learning curves on {result.seeds} fresh problems, mean and 95 % interval; every "
        "hand-designed optimizer at the rate that serves it best"
    )
    return Section("Comparison", [Image(drawn, caption), Table(columns, rows)])


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


def _configuration(name: str, checkup: Checkup) -> Table:
    recipe = vars(checkup.recipe)
    rows = [["problem", name], *([key, str(value)] for key, value in recipe.items())]
    return Table(["", "value"], rows)
