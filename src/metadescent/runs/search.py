"""Random search of the meta-rate, in short trials (section 3)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from metadescent.problems.base import Problem
from metadescent.runs.loggers.base import Logger
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import NonFiniteError, finished_state, train

LOWEST, HIGHEST = 1e-4, 3e-2
"""The bounds between which meta-rates are drawn log-uniformly."""


def trials(recipe: Recipe, count: int) -> list[Recipe]:
    """Return recipes with a fifth of the epochs and meta-rates that depend on the seed alone."""
    exponents = np.random.default_rng(recipe.seed).uniform(
        np.log10(LOWEST), np.log10(HIGHEST), count
    )
    epochs = max(1, recipe.epochs // 5)
    return [replace(recipe, meta_rate=float(10.0**e), epochs=epochs) for e in exponents]


def validate_trial(
    folder: Path,
    problem: Problem,
    problem_name: str,
    recipe: Recipe,
    data_dir: Path | None = None,
    loggers: Sequence[Logger] = (),
) -> float:
    """Run a trial, or resume it; return its best validation loss, ∞ if the loss was not finite."""
    plan = plan_of(recipe)
    run = train(
        folder, problem, problem_name, plan, resume=True, data_dir=data_dir, loggers=loggers
    )
    try:
        for _ in run:
            pass
        return float(finished_state(folder, plan).best_loss)
    except NonFiniteError:
        return float("inf")
