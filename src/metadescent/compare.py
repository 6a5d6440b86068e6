"""Learned against hand-designed: everyone tuned, on the same fresh problems."""

import contextlib
import importlib
import inspect
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from metadescent._errors import UserError
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.evaluate import Curve, held_out_curves, learning_curves, summarize
from metadescent.fingerprint import fingerprint
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.tune import BASELINES, STANDARD, Tuned, tune

Progress = Callable[[str], None]


class Comparison(NamedTuple):
    """Learning curves of several optimizers on the same problems, by name; the learned come first.

    `tuned` holds the search behind each hand-designed optimizer's rate. `held_out` has curves of
    held-out data, a value once in `every` steps; it is empty where there is none. `seconds` is what
    a step of each optimizer takes, where that was measured. `margins` says by how much the loss of
    each hand-designed optimizer is above the first learned one's on the same problem: differences
    vary less than problems do.

    Example:
        >>> import numpy as np
        >>> finals = {"mine": 0.1, "sgd": 0.5, "adam": 0.3}
        >>> curves = {name: summarize(np.asarray([[1.0, loss]])) for name, loss in finals.items()}
        >>> tuned = {name: Tuned(0.1, [], [], "") for name in ("sgd", "adam")}
        >>> found = Comparison("quadratic", 2, 1, curves, tuned, minutes=0.0)
        >>> found.best_baseline(lambda curve: curve.final)
        'adam'
    """

    problem: str
    steps: int
    seeds: int
    curves: dict[str, Curve]
    tuned: dict[str, Tuned]
    minutes: float
    held_out: Mapping[str, Curve] = {}
    every: int = 1
    seconds: Mapping[str, float] = {}
    margins: Mapping[str, Curve] = {}

    def best_baseline(self, figure: Callable[[Curve], float]) -> str:
        """Return the hand-designed optimizer with the lowest figure, say `lambda c: c.final`.

        One that diverged, whose figure is NaN, comes last.
        """
        figures = {name: figure(self.curves[name]) for name in self.tuned}
        return min(figures, key=lambda name: (math.isnan(figures[name]), figures[name]))

    def to_json(self) -> dict[str, Any]:
        """Return the comparison in the schema of `metadescent evaluate --json`."""
        return {
            "problem": self.problem,
            "steps": self.steps,
            "seeds": self.seeds,
            "curves": {name: curve.to_json() for name, curve in self.curves.items()},
            "hardware": hardware(),
            "versions": versions(),
            "minutes": round(self.minutes, 3),
        } | self._extras_to_json()

    def _extras_to_json(self) -> dict[str, Any]:
        """Return what not every comparison has."""
        found: dict[str, Any] = {}
        if self.held_out:
            curves = {name: curve.to_json() for name, curve in self.held_out.items()}
            found["held_out"] = {"every": self.every, "curves": curves}
        if self.seconds:
            found["seconds_per_step"] = dict(self.seconds)
        return found


def compare(
    learned: Mapping[str, LearnedOptimizer],
    problem: Problem,
    problem_name: str,
    *,
    baselines: Sequence[str] = STANDARD,
    num_steps: int = 100,
    num_seeds: int = 100,
    tune_seeds: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    held_out: Problem | None = None,
    every: int = 20,
    tuned_on: Problem | None = None,
    searched: Mapping[str, Tuned] = MappingProxyType({}),
) -> Comparison:
    """Run learned optimizers and tuned baselines on the same freshly sampled problems.

    Every optimizer faces the same f, θ₀ and minibatches from a fresh state. Rates are tuned for
    this very problem and horizon, on problems drawn from another key than those reported, or on
    `tuned_on`.

    Arguments:
        learned: learned optimizers by name.
        problem: p(f); `problem_name` is what the results call it.
        baselines: keys of `metadescent.tune.BASELINES`.
        num_steps: the horizon.
        num_seeds: fresh problems that every optimizer is run on.
        tune_seeds: problems that each rate is judged on; as many as `num_seeds` if not given, and
            at least 32. What diverges once in a thousand problems is found out by a thousand.
        seed: draws the problems.
        cache: folder where the outcomes of searches are kept and looked up; none if not given.
        progress: called with a word on each thing done.
        held_out: the same kind of problem with data that nothing is learned from; evaluated once in
            `every` steps, and not what rates are tuned by.
        tuned_on: the same kind of problem with other data, that rates are tuned on.
        searched: outcomes of searches that need no repetition, by baseline.

    Raises:
        UserError: if a baseline is unknown, or `every` is no divisor of the steps.

    Source: section 3.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> result = compare({}, Quadratic(), "quadratic", baselines=["sgd"], num_seeds=4)
        >>> result.curves["sgd"].mean.shape
        (100,)
    """
    started = time.monotonic()
    tune_key, report_key = problem_keys(seed)
    tune_seeds = tune_seeds or max(num_seeds, 32)
    tuned = tune_all(
        baselines,
        problem if tuned_on is None else tuned_on,
        tune_key,
        num_steps,
        tune_seeds,
        cache,
        progress,
        searched,
    )
    rules = {name: (m, None) for name, m in learned.items()}
    rules |= {name: (BASELINES[name].make(t.rate), t.rate) for name, t in tuned.items()}
    curves, others, found = {}, {}, {}
    sizes = {"num_steps": num_steps, "num_seeds": num_seeds}
    for name, (m, rate) in rules.items():
        if held_out is None:
            found[name] = learning_curves(m, problem, report_key, **sizes)
        else:
            found[name], other = held_out_curves(
                m, problem, held_out, report_key, every=every, **sizes
            )
            others[name] = summarize(other, rate)
        curves[name] = summarize(found[name], rate)
        progress(f"ran {name}")
    margins = {}
    if learned:
        mine = found[next(iter(learned))]
        margins = {name: summarize(found[name] - mine) for name in tuned}
    minutes = (time.monotonic() - started) / 60
    return Comparison(
        problem_name, num_steps, num_seeds, curves, tuned, minutes, others, every, margins=margins
    )


def problem_keys(seed: int) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Return the keys of the problems that rates are tuned on, and of those that are reported.

    Example:
        >>> tuned_on, reported_on = problem_keys(0)
        >>> bool(tuned_on == problem_keys(0)[0]), bool(tuned_on == reported_on)
        (True, False)
    """
    tune_key, report_key = jax.random.split(jax.random.key(seed))
    return tune_key, report_key


def tune_all(
    names: Sequence[str],
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_seeds: int,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    searched: Mapping[str, Tuned] = MappingProxyType({}),
) -> dict[str, Tuned]:
    """Return `cached_tune`'s outcome for each of several hand-designed optimizers, by name.

    Those that have been `searched` already are taken from there.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> found = {"sgd": Tuned(0.1, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "found before")}
        >>> tune_all(["sgd"], Quadratic(), jax.random.key(0), 10, 4, searched=found) == found
        True
    """
    tuned: dict[str, Tuned] = {}
    for name in names:
        tuned[name] = searched.get(name) or cached_tune(
            name, problem, key, num_steps, num_seeds, cache
        )
        progress(f"tuned {name}")
    return tuned


def cached_tune(
    name: str,
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_seeds: int,
    cache: Path | None = None,
) -> Tuned:
    """Return `tune`'s outcome, from `cache` where the very same search has been done before.

    "The same" covers the problem's code, options and data, the key, the sizes, and the code that
    tunes, draws and unrolls: a rate found by other code is never reported.

    Example:
        >>> import tempfile
        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jax.numpy.ones(()))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     question = "sgd", f, jax.random.key(0), 2, 1, Path(folder)
        ...     once, again = cached_tune(*question), cached_tune(*question)
        ...     files = len(os.listdir(folder))
        >>> once == again, files
        (True, 1)
    """
    found = None if cache is None else kept_tuned(cache, name, problem, key, num_steps, num_seeds)
    if found is None:
        found = tune(name, problem, key, num_steps=num_steps, num_seeds=num_seeds)
        if cache is not None:
            keep_tuned(found, cache, name, problem, key, num_steps, num_seeds)
    return found


def kept_tuned(
    cache: Path, name: str, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> Tuned | None:
    """Return the outcome of a search that the cache has, None if it has not.

    Example:
        >>> import tempfile
        >>> from metadescent.problems.quadratic import Quadratic
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(kept_tuned(Path(folder), "sgd", Quadratic(), jax.random.key(0), 10, 4))
        None
    """
    path = _tuning_file(cache, name, problem, key, num_steps, num_seeds)
    try:
        return Tuned(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def keep_tuned(
    found: Tuned,
    cache: Path,
    name: str,
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_seeds: int,
) -> None:
    """Put the outcome of a search into the cache.

    Example:
        >>> import tempfile
        >>> from metadescent.problems.quadratic import Quadratic
        >>> found = Tuned(0.1, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "by hand")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     question = Path(folder), "sgd", Quadratic(), jax.random.key(0), 10, 4
        ...     keep_tuned(found, *question)
        ...     kept_tuned(*question) == found
        True
    """
    # A cache that cannot be written only costs time.
    with contextlib.suppress(UserError):
        path = _tuning_file(cache, name, problem, key, num_steps, num_seeds)
        write_json(path, found._asdict())


def _tuning_file(
    cache: Path, name: str, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> Path:
    question = [fingerprint(problem), jax.random.key_data(key).tolist(), num_steps, num_seeds]
    digest = _digest([name, *question, _tuning_code(), version("optax")])
    return cache / f"{name}-{digest}.json"


def _tuning_code() -> list[str]:
    layers = ("tune", "evaluate", "line_search", "meta_loss", "unroll", "optimizer", "problem")
    modules = (importlib.import_module(f"metadescent.{name}") for name in layers)
    return [inspect.getsource(module) for module in modules]


def _digest(question: Any) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]
