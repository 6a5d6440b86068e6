"""Searches for rates, kept in a folder and looked up again."""

import contextlib
import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from metadescent._errors import UserError
from metadescent._files import write_json
from metadescent.descent.fingerprint import fingerprint
from metadescent.descent.tuning import Tuned, tune
from metadescent.problems.base import Problem

Progress = Callable[[str], None]


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
    layers = (
        "descent.tuning",
        "descent.baselines",
        "descent.curves",
        "descent.line_search",
        "descent.episode",
        "descent.unrolling",
        "optimizers.base",
        "problems.base",
        "problems.batch",
    )
    modules = (importlib.import_module(f"metadescent.{name}") for name in layers)
    return [inspect.getsource(module) for module in modules]


def _digest(question: Any) -> str:
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]
