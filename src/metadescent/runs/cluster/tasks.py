"""What is shared out among workers: meta-training runs, and the tuning of hand-designed optimizers.

Tasks name what they are about, so that they are small and any worker can make it; a worker makes a
problem once. Their results are found where the same work, done here, would leave them: in a run's
folder and in the cache of tuned rates.
"""

import functools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from metadescent._files import write_json
from metadescent.descent.comparison import problem_keys
from metadescent.descent.tuning import Tuned, tune
from metadescent.descent.tuning_cache import keep_tuned, kept_tuned
from metadescent.problems.base import Problem
from metadescent.registry import make_problem
from metadescent.runs.cluster.executors import Engine
from metadescent.runs.cluster.sweep import sweep
from metadescent.runs.recipe import Recipe
from metadescent.runs.search import validate_trial

RESULT = "result.json"


class Training(NamedTuple):
    """One meta-training run, from its beginning or from where it stands, to its end.

    Example:
        A task is plain data, so that it can be sent:

        >>> task = training(Path("runs/x"), "quadratic", None, Recipe())
        >>> Training(*json.loads(json.dumps(task))) == task
        True
    """

    folder: str
    problem: str
    data_dir: str | None
    recipe: dict[str, Any]


class Tuning(NamedTuple):
    """The search for one hand-designed optimizer's rate on one problem.

    Example:
        What is asked for twice is done once:

        >>> tasks = [Tuning("sgd", "quadratic", None, seed, 100, 32) for seed in (0, 1, 0)]
        >>> len(set(tasks))
        2
    """

    name: str
    problem: str
    data_dir: str | None
    seed: int
    num_steps: int
    num_seeds: int


def training(folder: Path, problem: str, data_dir: Path | None, recipe: Recipe) -> Training:
    """Return the task of a run; a worker may be in another folder, so paths are absolute.

    Example:
        >>> task = training(Path("runs/x"), "quadratic", None, Recipe(epochs=3))
        >>> Path(task.folder).is_absolute(), task.problem, task.recipe["epochs"]
        (True, 'quadratic', 3)
    """
    where = str(data_dir.resolve()) if data_dir else None
    return Training(str(folder.resolve()), problem, where, asdict(recipe))


def train_all(
    tasks: Sequence[Training],
    engine: Engine,
    report: Callable[[Training, float], None] = lambda task, loss: None,
) -> list[float]:
    """Run them all, and return the best validation loss of each.

    It is infinite where the meta-loss ceased to be finite. What is finished is not run again.

    Example:
        What was finished before, as `result.json` in its folder says, is not run again:

        >>> import tempfile
        >>> from metadescent.runs.cluster.executors import engine_of
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     task = training(Path(folder), "quadratic", None, Recipe())
        ...     kept = {"task": task._asdict(), "result": {"loss": 0.25}}
        ...     write_json(Path(task.folder, RESULT), kept)
        ...     train_all([task], engine_of())
        [0.25]
    """
    found = sweep(
        train_one,
        tasks,
        engine,
        kept=_kept,
        keep=lambda task, result: write_json(
            Path(task.folder) / RESULT, {"task": task._asdict(), "result": result}
        ),
        report=lambda task, result: report(task, _loss(result)),
    )
    return [_loss(result) for result in found]


def train_one(task: Training) -> dict[str, Any]:
    """Do a `Training`.

    Example:
        With an optimizer that does nothing, on a problem in a file:

        >>> import tempfile
        >>> source = "import jax, metadescent; bowl = metadescent.FromFunction("
        >>> source += "lambda theta, key: theta**2, lambda key: jax.numpy.ones(()))"
        >>> sizes = {"steps": 1, "unroll": 1, "epochs": 1, "episodes": 1, "validation_problems": 1}
        >>> recipe = Recipe(optimizer="lstm(layers=(), scale=0.0)", **sizes)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "my_problem.py").write_text(source)
        ...     bowl = f"{folder}/my_problem.py:bowl"
        ...     train_one(training(Path(folder, "run"), bowl, None, recipe))
        {'loss': 1.0}
    """
    problem, recipe = _problem(task.problem, task.data_dir), Recipe(**task.recipe)
    loss = validate_trial(Path(task.folder), problem, task.problem, recipe)
    return {"loss": loss if math.isfinite(loss) else None}


def train_in_turn(tasks: Sequence[Training]) -> list[dict[str, Any]]:
    """Do several of which each goes on from the one before.

    Example:
        The second begins with the φ of the first, whose file is there by then:

        >>> import tempfile
        >>> from dataclasses import replace
        >>> source = "import jax, metadescent; bowl = metadescent.FromFunction("
        >>> source += "lambda theta, key: theta**2, lambda key: jax.numpy.ones(()))"
        >>> sizes = {"steps": 1, "unroll": 1, "epochs": 1, "episodes": 1, "validation_problems": 1}
        >>> recipe = Recipe(optimizer="lstm(layers=(), scale=0.0)", **sizes)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "my_problem.py").write_text(source)
        ...     first, second = Path(folder, "first"), Path(folder, "second")
        ...     bowl = f"{folder}/my_problem.py:bowl"
        ...     task = training(first, bowl, None, recipe)
        ...     recipe = replace(recipe, init=str(first))
        ...     train_in_turn([task, training(second, bowl, None, recipe)])
        [{'loss': 1.0}, {'loss': 1.0}]
    """
    return [train_one(task) for task in tasks]


def tune_all(
    tasks: Iterable[Tuning],
    engine: Engine,
    cache: Path,
    report: Callable[[Tuning], None] = lambda task: None,
) -> None:
    """Find the rates of all that the cache does not have, and keep them there.

    Example:
        What the cache has is not searched for again:

        >>> import tempfile
        >>> from metadescent.runs.cluster.executors import engine_of
        >>> task = Tuning("sgd", "quadratic", None, seed=0, num_steps=10, num_seeds=4)
        >>> known = Tuned(0.1, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "by hand")
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     question = "sgd", make_problem("quadratic"), problem_keys(0)[0], 10, 4
        ...     keep_tuned(known, Path(cache), *question)
        ...     tune_all([task], engine_of(), Path(cache), report=lambda task: print(task.name))
        sgd
    """

    def question(task: Tuning) -> tuple[Any, ...]:
        key, _ = problem_keys(task.seed)
        problem = _problem(task.problem, task.data_dir)
        return cache, task.name, problem, key, task.num_steps, task.num_seeds

    def kept(task: Tuning) -> dict[str, Any] | None:
        found = kept_tuned(*question(task))
        return None if found is None else found._asdict()

    sweep(
        tune_one,
        list(dict.fromkeys(tasks)),
        engine,
        kept=kept,
        keep=lambda task, result: keep_tuned(Tuned(**result), *question(task)),
        report=lambda task, result: report(task),
    )


def tune_one(task: Tuning) -> dict[str, Any]:
    """Do a `Tuning`.

    Example:
        On a problem in a file:

        >>> import tempfile
        >>> source = "import jax, metadescent; bowl = metadescent.FromFunction("
        >>> source += "lambda theta, key: theta**2, lambda key: jax.numpy.ones(()))"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "my_problem.py").write_text(source)
        ...     found = tune_one(Tuning("sgd", f"{folder}/my_problem.py:bowl", None, 0, 2, 1))
        >>> found["rate"] in found["grid"]
        True
    """
    key, _ = problem_keys(task.seed)
    problem = _problem(task.problem, task.data_dir)
    found = tune(task.name, problem, key, num_steps=task.num_steps, num_seeds=task.num_seeds)
    return found._asdict()


@functools.lru_cache(maxsize=1)
def _problem(name: str, data_dir: str | None) -> Problem:
    return make_problem(name, data_dir)


def _kept(task: Training) -> Any:
    try:
        found = json.loads((Path(task.folder) / RESULT).read_text())
        # Of another recipe it is no result; the run's folder will say what differs.
        return found["result"] if found["task"] == json.loads(json.dumps(task._asdict())) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _loss(result: dict[str, Any]) -> float:
    return math.inf if result["loss"] is None else result["loss"]
