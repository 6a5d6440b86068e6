"""`evaluate` and `tune`: against hand-designed optimizers, each at its best rate."""

from collections.abc import Sequence
from pathlib import Path

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._files import write_json
from metadescent._text import nearest
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.commands.show import plot, show, tuning_cache
from metadescent.cli.console import console, figure, progress, table
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import compare, problem_keys
from metadescent.descent.tuning_cache import cached_tune
from metadescent.registry import make_problem
from metadescent.runs.cluster.executors import engine_of
from metadescent.runs.cluster.tasks import Tuning, tune_all


@run.register
def _evaluate(command: arguments.Evaluate) -> None:
    names = baselines_of(command.against)
    m = zoo.load(command.optimizer)
    problem = make_problem(command.problem, command.data_dir)
    seeds = command.tune_seeds or max(command.seeds, 32)
    tune_ahead([(name, command.problem, command.steps, seeds) for name in names], command)
    with progress("evaluate", 2 * len(names) + 1) as report:
        result = compare(
            {name_of(command.optimizer): m},
            problem,
            command.problem,
            baselines=names,
            num_steps=command.steps,
            num_seeds=command.seeds,
            tune_seeds=seeds,
            seed=command.seed,
            cache=tuning_cache(),
            progress=lambda text: report(text, 1),
        )
    show(result)
    if command.json:
        write_json(command.json, result.to_json())
    if command.plot:
        plot(result, command.plot)


@run.register
def _tune(command: arguments.Tune) -> None:
    if not command.problems:
        raise UserError("there is no problem to tune for; name one or more, such as quadratic")
    tune_ahead(
        [(command.name, problem, command.steps, command.seeds) for problem in command.problems],
        command,
    )
    key, _ = problem_keys(command.seed)
    for name in command.problems:
        problem = make_problem(name, command.data_dir)
        cache = tuning_cache()
        tuned = cached_tune(command.name, problem, key, command.steps, command.seeds, cache)
        rows = [
            [f"{rate:.3g}", figure(loss), "best" if rate == tuned.rate else ""]
            for rate, loss in zip(tuned.grid, tuned.final_losses, strict=True)
        ]
        console().print(table(f"{command.name} on {name}", ["rate", "final loss", ""], rows))
        console().print(f"Best rate {tuned.rate:.3g} by the {tuned.criterion}.")


def tune_ahead(
    searches: Sequence[tuple[str, str, int, int]],
    command: arguments.Evaluate | arguments.Tune | arguments.Reproduce,
) -> None:
    """Where there are workers, have them tune what is not in the cache yet.

    `searches` has the hand-designed optimizer, the problem, the steps and the seeds of each.
    """
    if command.workers == 1 and command.scheduler is None:
        return
    where = str(command.data_dir.resolve()) if command.data_dir else None
    tasks = [
        Tuning(name, problem, where, command.seed, steps, seeds)
        for name, problem, steps, seeds in dict.fromkeys(searches)
    ]
    with progress("tune", len(tasks)) as report:
        tune_all(
            tasks,
            engine_of(command.workers, command.scheduler),
            tuning_cache(),
            lambda task: report(f"tuned {task.name} on {task.problem}", 1),
        )


def baselines_of(text: str) -> list[str]:
    """Return the hand-designed optimizers that a list names.

    Raises:
        UserError: if there is no such one.
    """
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in BASELINES:
            raise UserError(f"there is no baseline {name!r}; {nearest(name, BASELINES)}")
    return names


def name_of(optimizer: str) -> str:
    """Return what the results call a learned optimizer; never the name of a hand-designed one."""
    name = Path(optimizer).name.removesuffix(".safetensors")
    return f"learned {name}" if name in BASELINES else name
