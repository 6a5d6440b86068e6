"""Tasks for workers: meta-training runs, and the tuning of hand-designed optimizers.

Tasks only name their problems, so that they are small and any worker can make what they name; a
worker makes a problem once. The results are where this process would have left them: in a run's
folder, and in the cache of tuned rates.
"""

import functools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import PRNGKeyArray

from metadescent._files import write_json
from metadescent.descent.comparison import problem_keys
from metadescent.descent.tuning import Tuned, tune
from metadescent.descent.tuning_cache import keep_tuned, kept_tuned
from metadescent.problems.base import Problem
from metadescent.registry import make_problem
from metadescent.runs.cluster.executors import Engine
from metadescent.runs.cluster.sweeps import sweep
from metadescent.runs.folder import RESULT
from metadescent.runs.loggers.names import make_logger
from metadescent.runs.naming import absolute
from metadescent.runs.recipe import Recipe
from metadescent.runs.search import validate_trial


class Training(NamedTuple):
    """One meta-training run, from its beginning or from where it stands, to its end."""

    folder: str
    problem: str
    data_dir: str | None
    recipe: dict[str, Any]
    # A list, because JSON has no tuples.
    loggers: Sequence[str] = []

    @property
    def question(self) -> dict[str, Any]:
        """Return everything that the result depends on."""
        return {name: value for name, value in self._asdict().items() if name != "loggers"}


class Tuning(NamedTuple):
    """The search for one hand-designed optimizer's rate on one problem."""

    name: str
    problem: str
    data_dir: str | None
    seed: int
    num_steps: int
    num_seeds: int


def training_task(
    folder: Path,
    problem: str,
    data_dir: Path | None,
    recipe: Recipe,
    loggers: Sequence[str] = (),
) -> Training:
    """Return the task of a run."""
    # Paths are absolute, because a worker may run in another folder.
    where = str(data_dir.resolve()) if data_dir else None
    named = {"problem": problem, **asdict(recipe)}
    named = {name: absolute(name, value, Path.cwd()) for name, value in named.items()}
    followed = [absolute("logger", spec, Path.cwd()) for spec in loggers]
    return Training(str(folder.resolve()), named.pop("problem"), where, named, followed)


def run_trainings(
    tasks: Sequence[Training],
    engine: Engine,
    report: Callable[[Training, float], None] = lambda task, loss: None,
) -> list[float]:
    """Run what is not finished; return each best validation loss, ∞ if none was finite."""
    results = sweep(
        run_training,
        tasks,
        engine,
        kept=_kept,
        keep=lambda task, result: write_json(
            Path(task.folder) / RESULT, {"task": task.question, "result": result}
        ),
        report=lambda task, result: report(task, _loss(result)),
    )
    return [_loss(result) for result in results]


def run_training(task: Training) -> dict[str, Any]:
    """Do a `Training`; return its result."""
    problem, recipe = _problem(task.problem, task.data_dir), Recipe(**task.recipe)
    data_dir = Path(task.data_dir) if task.data_dir else None
    loggers = [make_logger(spec) for spec in task.loggers]
    loss = validate_trial(Path(task.folder), problem, task.problem, recipe, data_dir, loggers)
    # JSON has no infinity.
    return {"loss": loss if math.isfinite(loss) else None}


def run_in_turn(tasks: Sequence[Training]) -> list[dict[str, Any]]:
    """Do several trainings, each of which goes on from the one before."""
    return [run_training(task) for task in tasks]


def run_tunings(
    tasks: Iterable[Tuning],
    engine: Engine,
    cache: Path,
    report: Callable[[Tuning], None] = lambda task: None,
) -> None:
    """Search for all rates that the cache does not have, and keep them there."""

    def question(task: Tuning) -> tuple[Any, ...]:
        problem, key = _problem_and_key(task)
        return cache, task.name, problem, key, task.num_steps, task.num_seeds

    def kept(task: Tuning) -> dict[str, Any] | None:
        tuned = kept_tuned(*question(task))
        return None if tuned is None else tuned._asdict()

    sweep(
        run_tuning,
        # A tuning that is asked for twice is done once.
        list(dict.fromkeys(tasks)),
        engine,
        kept=kept,
        keep=lambda task, result: keep_tuned(Tuned(**result), *question(task)),
        report=lambda task, result: report(task),
    )


def run_tuning(task: Tuning) -> dict[str, Any]:
    """Do a `Tuning`; return its result."""
    problem, key = _problem_and_key(task)
    tuned = tune(task.name, problem, key, num_steps=task.num_steps, num_seeds=task.num_seeds)
    return tuned._asdict()


def _problem_and_key(task: Tuning) -> tuple[Problem, PRNGKeyArray]:
    # As in `compare`, whose other key is for the runs that are measured.
    key, _ = problem_keys(task.seed)
    return _problem(task.problem, task.data_dir), key


@functools.lru_cache(maxsize=1)
def _problem(name: str, data_dir: str | None) -> Problem:
    return make_problem(name, data_dir)


def _kept(task: Training) -> dict[str, Any] | None:
    """Return the result of a task that was finished, None if it was not."""
    try:
        kept = json.loads((Path(task.folder) / RESULT).read_text(encoding="utf-8"))
        # The result of another recipe does not count; the run's folder will say what differs.
        return kept["result"] if kept["task"] == task.question else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _loss(result: dict[str, Any]) -> float:
    return math.inf if result["loss"] is None else result["loss"]
