"""What a run was begun from, beside its recipe: folder, settings, versions, f and data.

Without this, losses before and after a stop might belong to different functions.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from metadescent._errors import UserError
from metadescent._provenance import versions
from metadescent.descent.fingerprint import identity_of
from metadescent.descent.outside import outsiders
from metadescent.meta.estimators.base import Estimator
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs.folder import CONFIG, read_config

SETTINGS = (
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_random_seed_offset",
    "jax_default_matmul_precision",
)
"""Settings of JAX on which the numbers that are drawn and computed depend."""
KEPT = {
    "data": "the data of f are others than those that",
    "f": "f is another function than the one that",
    "m": "the rule computes other updates than the one that",
    "estimator": "the estimator computes other meta-gradients than the one that",
}


def origin_of(
    problem: Problem, m: LearnedOptimizer, estimator: Estimator | None = None, unroll: int = 1
) -> dict[str, Any]:
    """Return what a run notes of its origin."""

    def estimate(key: PRNGKeyArray, problem: Problem, m: LearnedOptimizer) -> PyTree:
        assert estimator is not None
        begun = estimator.begin(m, problem, key)
        return estimator.estimate(m, problem, begun, key, jnp.ones(unroll))

    # The version stands for what the package's own estimators compute.
    is_ours = estimator is None or not any(outsiders(estimator))
    programs = {} if is_ours else {"estimator": estimate}
    return {
        "folder": str(Path.cwd()),
        "settings": {name: getattr(jax.config, name) for name in SETTINGS},
        "versions": {**versions(), "platform": jax.default_backend()},
        **identity_of(problem, m, **programs),
    }


def check_origin(
    folder: Path, origin: dict[str, Any], warn: Callable[[str], object] = warnings.warn
) -> None:
    """Raise a UserError if the run in a folder, if it holds one, has another origin."""
    begun = read_config(folder).get("origin") if (folder / CONFIG).exists() else None
    # Older versions did not note the origin of a run.
    if begun:
        compare_origins(folder, begun, origin, warn)


def compare_origins(
    folder: Path,
    begun: dict[str, Any],
    origin: dict[str, Any],
    warn: Callable[[str], object] = warnings.warn,
) -> None:
    """Raise a UserError if the origin noted in a folder is another one."""
    elsewhere = f"go on in another folder by --init {folder}"
    for name, value in origin["settings"].items():
        before = begun.get("settings", {}).get(name, value)
        if before != value:
            raise UserError(
                f"{folder} was begun with {name} = {before} and it is {value}; set "
                f"{name.upper()}={before}, or {elsewhere}"
            )
    before = begun.get("versions", {})
    changes = [
        f"{name} {before[name]}, now {version}"
        for name, version in origin["versions"].items()
        if before.get(name, version) != version
    ]
    if changes:
        warn(f"{folder} was begun by {' and '.join(changes)}, which may compute otherwise")
    for name, other in KEPT.items():
        # Another version may write the same program in other words.
        comparable = name == "data" or not changes
        if comparable and begun.get(name, origin.get(name)) != origin.get(name):
            raise UserError(f"{other} {folder} was begun with; restore what was, or {elsewhere}")
