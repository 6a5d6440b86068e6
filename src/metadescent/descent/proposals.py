"""Appendix B: the updates that optimizers propose along one trajectory, and their dependence on ∇.

A proposed update is a function of the whole trajectory, so optimizers are compared on one
trajectory. The first of them leads: θ_{t+1} = θ_t + g_t with its g_t. The others follow: they are
given the same ∇_t in the same order, each with a state of its own, and propose updates that are not
made.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.descent.episode import keys_of
from metadescent.descent.unrolling import AnyOptimizer, Step, Trajectory, side_by_side, walk
from metadescent.optimizers.base import Coordinatewise, phi_dtype
from metadescent.problems.base import Optimizee, Problem, Theta


class Scene(NamedTuple):
    """One f, its θ₀ and the key of its minibatches, which all optimizers of a picture share."""

    f: Optimizee
    theta: Theta
    minibatch: PRNGKeyArray


class Histories(NamedTuple):
    """Observations along a trajectory, one row a step: f(θ_t), ∇_t, and every optimizer's g_t."""

    losses: Float[np.ndarray, " steps"]
    # Coordinates are those of all leaves of θ, in the order of `ravel_pytree`.
    gradients: Float[np.ndarray, "steps coordinates"]
    updates: dict[str, Float[np.ndarray, "steps coordinates"]]


def scene(problem: Problem, key: PRNGKeyArray) -> Scene:
    """Draw an f and a θ₀."""
    keys = keys_of(key)
    f = problem.sample(keys.f)
    return Scene(f, f.init(keys.theta), keys.minibatch)


def histories(optimizers: Mapping[str, AnyOptimizer], where: Scene, *, num_steps: int) -> Histories:
    """Return the updates that the first optimizer makes, and those that the others propose."""
    _check(optimizers, num_steps)
    losses, gradients, updates = _histories(tuple(optimizers.values()), where, num_steps)
    named = zip(optimizers, map(np.asarray, updates), strict=True)
    return Histories(np.asarray(losses), np.asarray(gradients), dict(named))


def functions(
    optimizers: Mapping[str, AnyOptimizer],
    where: Scene,
    coordinates: Int[Array | np.ndarray, " k"],
    gradients: Float[Array | np.ndarray, "k points"],
    *,
    num_steps: int,
) -> dict[str, Float[Array, "num_steps k points"]]:
    """Return g_t of single coordinates as functions of their ∇_t, all else fixed (figure 11)."""
    _check(optimizers, num_steps)
    size = sum(jnp.size(leaf) for leaf in jax.tree.leaves(where.theta))
    for coordinate in np.asarray(coordinates).tolist():
        if not 0 <= coordinate < size:
            raise UserError(f"there is no coordinate {coordinate}; try one from 0 to {size - 1}")
    updates = _functions(
        tuple(optimizers.values()),
        where,
        jnp.asarray(coordinates),
        jnp.asarray(gradients),
        num_steps,
    )
    return dict(zip(optimizers, updates, strict=True))


def draw_coordinates(
    gradients: Float[Array | np.ndarray, "steps coordinates"], count: int, seed: int
) -> Int[np.ndarray, " count"]:
    """Draw coordinates at random, but first those whose gradient is least often 0."""
    # A coordinate that f does not depend on, such as a weight of a black pixel, says nothing.
    zeros = (np.asarray(gradients) == 0).sum(0)
    order = np.random.default_rng(seed).permutation(len(zeros))
    # A stable sort leaves coordinates with the same number of zeros in random order.
    return order[np.argsort(zeros[order], kind="stable")][:count]


def around(
    gradients: Float[Array | np.ndarray, "steps k"], span: float = 10.0, points: int = 101
) -> Float[np.ndarray, "k points"]:
    """Return, for each coordinate, evenly spaced gradients up to `span` times its largest |∇_t|."""
    # The range goes beyond the gradients seen, to where functions level off; the paper gives none.
    largest = np.abs(np.asarray(gradients)).max(0)
    return span * np.where(largest > 0, largest, 1.0)[:, None] * np.linspace(-1.0, 1.0, points)


def _check(optimizers: Mapping[str, AnyOptimizer], num_steps: int) -> None:
    require("the number of optimizers", len(optimizers), 1)
    require("the number of steps", num_steps, 1)


Rules = tuple[AnyOptimizer, ...]


def _follow(rules: Rules, where: Scene, num_steps: int, observe: Callable[[Step], PyTree]) -> Any:
    """Return observations on the first rule's trajectory; states and updates are those of all."""
    states = [m.init(where.theta) for m in rules]
    _, seen = walk(
        side_by_side([m.update for m in rules]),
        where.f,
        Trajectory(where.theta, states, jnp.asarray(0)),
        where.minibatch,
        num_steps=num_steps,
        observe=observe,
        lead=lambda proposed: proposed[0],
    )
    return seen


@eqx.filter_jit
def _histories(rules: Rules, where: Scene, num_steps: int) -> tuple[Array, Array, list[Array]]:
    def observe(step: Step) -> tuple[Array, Array, list[Array]]:
        return step.loss, _row(step.gradient), [_row(g) for g in step.g]

    return _follow(rules, where, num_steps, observe)


@eqx.filter_jit
def _functions(
    rules: Rules,
    where: Scene,
    coordinates: Int[Array, " k"],
    values: Float[Array, "k points"],
    num_steps: int,
) -> list[Float[Array, "num_steps k points"]]:
    def observe(step: Step) -> list[Array]:
        return [
            _varied(m, h, step, coordinates, values) for m, h in zip(rules, step.state, strict=True)
        ]

    return _follow(rules, where, num_steps, observe)


def _varied(
    m: AnyOptimizer, state: PyTree, step: Step, coordinates: Array, values: Array
) -> Float[Array, "k points"]:
    """Return the updates of single coordinates at other gradients than their own."""
    if isinstance(m, Coordinatewise):
        # Coordinates are independent, so a row of copies of each has all values at once.
        points = values.shape[1]
        rows = m.ravel_state(step.theta, state)
        rows = jax.tree.map(lambda x: jnp.repeat(x[..., coordinates], points, axis=-1), rows)
        g, _ = m.update_coordinates(values.reshape(-1).astype(phi_dtype(m)), rows)
        return g.astype(values.dtype).reshape(values.shape)
    row, unravel = ravel_pytree(step.gradient)

    def at(coordinate: Array, value: Array) -> Array:
        g, _ = m.update(unravel(row.at[coordinate].set(value)), state, step.theta)
        return _row(g)[coordinate]

    # The updates of the whole θ go one after another: all at once may not fit into memory.
    return jax.lax.map(
        lambda pair: jax.lax.map(lambda value: at(pair[0], value), pair[1]), (coordinates, values)
    )


def _row(tree: Theta) -> Float[Array, " coordinates"]:
    return ravel_pytree(tree)[0]
