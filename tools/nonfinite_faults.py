"""NaN and infinity at random meta-steps are handled by the policy, counted, and never kept."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from metadescent._tree import is_finite
from metadescent.problems.base import Optimizee, Problem
from metadescent.runs.checkpoint import latest_epoch
from metadescent.runs.folder import CHECKPOINTS, OPTIMIZER
from metadescent.runs.log import read_metrics
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.training import NonFiniteError, train
from metadescent.zoo import file as artifact

FINE = 0
FAULTS = {
    "NaN loss": 1,
    "infinite loss": 2,
    "NaN gradient": 3,
    "overflowing meta-gradient": 4,
    "infinite gradient": 5,
}
POLICIES = ("stop", "skip", "restart-from-best")
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=6,
    episodes=2,
    average=0.5,
    validation_problems=2,
)


def large(dtype: np.dtype) -> float:
    """Return a power of ten that a dtype holds, and its square not: 1e30 in 32 bits."""
    return 10.0 ** int(0.78 * np.log10(float(jnp.finfo(dtype).max)))


class Faulty(Optimizee):
    """‖θ‖², with a fault in it."""

    fault: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        """θ₀ ~ N(0, 1)."""
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        """‖θ‖² and the fault."""
        del key
        square = jnp.sum(theta**2)
        # √0 has the value 0 and the derivative ∞, which times 0 is NaN and times 1 is ∞.
        nothing = jnp.sum(theta) - jax.lax.stop_gradient(jnp.sum(theta))
        inner = jnp.where(self.fault == FAULTS["infinite gradient"], nothing, 1.0)
        inner = jnp.where(self.fault == FAULTS["NaN gradient"], 0.0 * square, inner)
        root = jnp.sqrt(inner) - 1.0
        factors = jnp.asarray([1.0, jnp.nan, jnp.inf, 1.0, large(theta.dtype), 1.0], theta.dtype)
        return square * factors[self.fault] + root


class SometimesFaulty(Problem):
    """p(f): with a fault in a share of the draws."""

    share: jax.Array
    fault: jax.Array

    salt: jax.Array

    def sample(self, key: jax.Array) -> Faulty:
        """Draw f, with its fault or without."""
        struck = jax.random.bernoulli(jax.random.fold_in(key, self.salt), self.share)
        return Faulty(jnp.where(struck, self.fault, FINE))


def problem_with(fault: int, share: float, salt: int = 0) -> SometimesFaulty:
    """Return a problem of which a share of the draws has a fault; the salt says which."""
    return SometimesFaulty(jnp.asarray(share), jnp.asarray(fault), jnp.asarray(salt))


def faults(folder: Path, runs_each: int, seed: int) -> Iterator[tuple[str, int, str]]:
    """Yield, run by run, the kind of fault, how many meta-steps it struck, and what was lost."""
    chance = random.Random(seed)
    for name, fault in FAULTS.items():
        for policy in POLICIES:
            for index in range(runs_each):
                share, salt = chance.uniform(0.01, 0.2), chance.randrange(2**31)
                place = folder / f"{fault}-{policy}-{index}"
                recipe = replace(RECIPE, on_nonfinite=policy)
                struck, lost = meet(place, problem_with(fault, share, salt), recipe)
                yield name, struck, lost and f"{place.name}, share {share}, salt {salt}: {lost}"


def meet(folder: Path, problem: Problem, recipe: Recipe) -> tuple[int, str]:
    """Train where faults are; return how many meta-steps they struck, and what was lost, if so."""
    states = []
    try:
        for state, _ in train(folder, problem, "faulty", plan_of(recipe)):
            states.append(state)
    except NonFiniteError:
        if recipe.on_nonfinite != "stop":
            return 1, "the run was stopped"
        kept = latest_epoch(folder / CHECKPOINTS)
        whole = kept == len(states) and all(is_finite(state.m) for state in states)
        return 1, "" if whole else f"{kept} epochs are kept where {len(states)} were finite"
    lines = read_metrics(folder)
    count = sum(line["nonfinite"] for line in lines)
    if recipe.on_nonfinite == "stop" and count:
        return count, "the run was not stopped"
    end = states[-1]
    if not is_finite((end.m, end.average, end.best, end.meta_optimizer)):
        return count, "φ is not finite"
    if int(end.best_epoch):
        best = artifact.load(folder / OPTIMIZER)
        losses = [line["validation_loss"] for line in lines]
        if not is_finite(best) or float(end.best_loss) != np.min(
            [loss for loss in losses if np.isfinite(loss)]
        ):
            return count, "the best is not the best finite one"
    return count, ""
