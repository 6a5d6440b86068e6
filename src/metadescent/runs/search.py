"""Random search of the meta-rate, in short trials (section 3)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from metadescent.problems.base import Problem
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.train import NonFiniteError, finished_state, train


def trials(recipe: Recipe, count: int) -> list[Recipe]:
    """Return `count` short recipes whose meta-rates are drawn log-uniformly from [1e-4, 3e-2].

    A trial has a fifth of the epochs; draws depend on the recipe's seed only.

    Example:
        >>> [trial.epochs for trial in trials(Recipe(epochs=50), 2)]
        [10, 10]
    """
    exponents = np.random.default_rng(recipe.seed).uniform(-4.0, np.log10(3e-2), count)
    epochs = max(1, recipe.epochs // 5)
    return [replace(recipe, meta_rate=float(10.0**e), epochs=epochs) for e in exponents]


def validate_trial(folder: Path, problem: Problem, problem_name: str, recipe: Recipe) -> float:
    """Run a trial to its end, or go on with it, and return its best validation loss.

    A trial whose meta-loss ceases to be finite counts as infinitely bad.
    """
    plan = plan_of(recipe)
    try:
        for _ in train(folder, problem, problem_name, plan, resume=True):
            pass
        return float(finished_state(folder, plan).best_loss)
    except NonFiniteError:
        return float("inf")
