"""Searches for rates, whose outcomes are kept in a folder and looked up again."""

import contextlib
import hashlib
import inspect
import itertools
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import jax
from jaxtyping import PRNGKeyArray

from metadescent._files import write_json
from metadescent.descent import (
    at_rate,
    baselines,
    curves,
    episode,
    line_search,
    outside,
    tuning,
    unrolling,
)
from metadescent.descent.fingerprint import fingerprint_of
from metadescent.descent.tuning import Progress, Tuned, Within, tune
from metadescent.optimizers import base as optimizers_base
from metadescent.problems import base as problems_base
from metadescent.problems import batch
from metadescent.problems.base import Problem

# The modules that tune, draw and unroll, on which the outcome of a search depends.
CODE = (
    tuning,
    outside,
    at_rate,
    baselines,
    curves,
    line_search,
    episode,
    unrolling,
    optimizers_base,
    problems_base,
    batch,
)


def tune_each(
    names: Sequence[str],
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_seeds: int,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    searched: Mapping[str, Tuned] = MappingProxyType({}),
    within: Within = lambda *_: None,
) -> dict[str, Tuned]:
    """Return `cached_tune`'s outcome for several baselines; outcomes in `searched` are taken."""
    tuned: dict[str, Tuned] = {}
    for name in names:
        tuned[name] = searched.get(name) or cached_tune(
            name, problem, key, num_steps, num_seeds, cache, within
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
    progress: Within = lambda *_: None,
) -> Tuned:
    """Return `tune`'s outcome, from `cache` if the very same search has been done before."""
    tuned = kept_tuned(cache, name, problem, key, num_steps, num_seeds) if cache else None
    if tuned is None:
        sizes = {"num_steps": num_steps, "num_seeds": num_seeds}
        tuned = tune(name, problem, key, **sizes, progress=progress)
        if cache is not None:
            keep_tuned(tuned, cache, name, problem, key, num_steps, num_seeds)
    return tuned


def kept_tuned(
    cache: Path, name: str, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> Tuned | None:
    """Return the outcome of a search from the cache, or None if it has none, or a damaged one."""
    try:
        path = _tuning_file(cache, name, problem, key, num_steps, num_seeds)
        text = path.read_bytes()
    # A problem without a fingerprint, or a folder that cannot be read, only costs time.
    except Exception:
        return None
    with contextlib.suppress(Exception):
        tuned = Tuned(**json.loads(text))
        if _is_sound(tuned):
            return tuned
    warnings.warn(f"{path} is damaged, so the rate of {name} is searched anew", stacklevel=2)
    return None


def _is_sound(tuned: Tuned) -> bool:
    """Tell whether `tune` may have returned an outcome: the least loss is inside the grid."""
    rate, grid, losses, criterion, diverged = tuned
    counts = [0] * len(grid) if diverged is None else diverged
    best = grid.index(rate)
    return (
        all(type(x) in (int, float) for x in (rate, *grid, *losses))
        and len(grid) == len(losses) == len(counts)
        and 0 < grid[0] < rate < grid[-1] < math.inf
        and all(low < high for low, high in itertools.pairwise(grid))
        and math.isfinite(losses[best])
        and all(losses[best] <= loss for loss in losses)  # NaN is not
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(criterion, str)
        and criterion != ""
    )


def keep_tuned(
    tuned: Tuned,
    cache: Path,
    name: str,
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_seeds: int,
) -> None:
    """Put the outcome of a search into the cache."""
    # A cache that cannot be written only costs time.
    with contextlib.suppress(Exception):
        path = _tuning_file(cache, name, problem, key, num_steps, num_seeds)
        write_json(path, tuned._asdict())


def _tuning_file(
    cache: Path, name: str, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> Path:
    question = [fingerprint_of(problem), jax.random.key_data(key).tolist(), num_steps, num_seeds]
    # The code is part of the name, so a rate that other code found is never reported.
    code = [inspect.getsource(module) for module in CODE]
    written = json.dumps([name, *question, code, version("optax")])
    return cache / f"{name}-{hashlib.sha256(written.encode()).hexdigest()[:16]}.json"
