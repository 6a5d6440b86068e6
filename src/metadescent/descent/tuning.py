"""The learning rate that serves a hand-designed optimizer best, by final error (section 3)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError, require, require_choice
from metadescent.descent.baselines import BASELINES, STANDARD
from metadescent.descent.curves import final_loss, learning_curves
from metadescent.problems.base import Problem

POINTS_PER_DECADE = 4
MOST_POINTS = 80


class Tuned(NamedTuple):
    """The outcome of a search: the best rate and, over the whole grid, the final errors.

    Example:
        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.ones(()))
        >>> found = tune("sgd", f, jax.random.key(0), num_steps=2, num_seeds=1)
        >>> found.rate == found.grid[int(np.argmin(found.final_losses))]
        True
    """

    rate: float
    grid: list[float]
    final_losses: list[float]
    criterion: str


def tune(
    name: str, problem: Problem, key: PRNGKeyArray, *, num_steps: int, num_seeds: int
) -> Tuned:
    """Find the rate with the best final error on a logarithmic grid.

    All rates and seeds run in one compiled program, on the same f, θ₀ and minibatches, each from a
    fresh state; rates one after the other where the problem is large (`Problem.at_once`). While the
    best rate is the grid's first or last, the grid grows by a decade there; so the best rate always
    lies inside the grid. A rate that diverges on any seed is never best.

    Arguments:
        name: a key of `BASELINES`.
        key: draws the problems that the rates are compared on; use others to report results.
        num_steps: the horizon.
        num_seeds: problems a rate.

    Raises:
        UserError: if the name is unknown, no rate in 20 decades is better than its neighbours, or
            the rule searches along a line and the problem draws minibatches.

    Source: section 3, "the rate that gives the best final error for each problem".

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> tuned = tune("sgd", Quadratic(), jax.random.key(0), num_steps=10, num_seeds=8)
        >>> tuned.grid[0] < tuned.rate < tuned.grid[-1]
        True
    """
    require_choice("baseline", name, BASELINES)
    require("num_steps", num_steps, 1)
    require("num_seeds", num_seeds, 1)
    baseline = BASELINES[name]
    if name not in STANDARD:
        _refuse_minibatches(name, problem, key)
    found: dict[int, float] = {}
    low, high = (POINTS_PER_DECADE * d for d in (baseline.first_decade, baseline.last_decade))
    while True:
        new = [k for k in range(low, high + 1) if k not in found]
        losses = _final_losses(
            baseline.make, jnp.asarray(_rates(new)), problem, key, num_steps, num_seeds
        )
        found.update(zip(new, np.asarray(losses).tolist(), strict=True))
        exponents = sorted(found)
        best = min(exponents, key=lambda k: found[k])
        if low < best < high:
            break
        if len(found) > MOST_POINTS:
            raise UserError(
                f"{name} has no best rate from {_rates([low])[0]:.0e} to {_rates([high])[0]:.0e} "
                "on this problem; check that its loss is finite and decreases under small steps"
            )
        low, high = (
            (low - POINTS_PER_DECADE, high) if best == low else (low, high + POINTS_PER_DECADE)
        )
    return Tuned(
        rate=float(_rates([best])[0]),
        grid=_rates(exponents).tolist(),
        final_losses=[found[k] for k in exponents],
        criterion=f"mean loss over the last tenth of {num_steps} steps, {num_seeds} problems",
    )


@eqx.filter_jit
def _losses_by_key(problem: Problem, key: PRNGKeyArray) -> Float[Array, " keys"]:
    f = problem.sample(key)
    theta = f.init(key)
    return jnp.stack([f.loss(theta, k) for k in jax.random.split(key, 2)])


def _refuse_minibatches(name: str, problem: Problem, key: PRNGKeyArray) -> None:
    one, other = _losses_by_key(problem, key).tolist()
    if one != other:
        raise UserError(
            f"{name} searches along a line, and the loss there is {one:.6g} on one minibatch and "
            f"{other:.6g} on another; leave {name} out where f draws minibatches"
        )


def _rates(exponents: list[int]) -> Float[np.ndarray, " rates"]:
    return 10.0 ** (np.asarray(exponents) / POINTS_PER_DECADE)


@eqx.filter_jit
def _final_losses(
    make: Callable[[Any], optax.GradientTransformation],
    rates: Float[Array, " rates"],
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_seeds: int,
) -> Float[Array, " rates"]:
    def error(rate: Array) -> Array:
        curves = learning_curves(make(rate), problem, key, num_steps=num_steps, num_seeds=num_seeds)
        losses = jnp.mean(final_loss(curves))
        return jnp.where(jnp.isfinite(losses), losses, jnp.inf)

    if problem.at_once is None:
        return jax.vmap(error)(rates)
    return jax.lax.map(error, rates)
