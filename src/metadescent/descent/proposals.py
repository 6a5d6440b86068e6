"""Appendix B: what optimizers propose along one trajectory, and how that depends on ∇.

A proposed update is a function of the whole trajectory, so optimizers are compared on one: the
first of them leads, θ_{t+1} = θ_t + g_t with its g_t, and the others follow: fed the same ∇_t in
the same order, each with a state of its own, they say what they would have proposed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.descent.episode import Keys
from metadescent.descent.unrolling import AnyOptimizer, exact
from metadescent.optimizers.base import Coordinatewise, phi_dtype
from metadescent.problems.base import Optimizee, Problem, Theta


class Scene(NamedTuple):
    """One f, its θ₀ and the key of its minibatches: what all optimizers of a picture face.

    Example:
        An f and a θ₀ of one's own, in place of what `scene` draws:

        >>> from metadescent.problems.quadratic import QuadraticFunction
        >>> f = QuadraticFunction(jnp.eye(2), jnp.asarray([3.0, 4.0]))
        >>> where = Scene(f, jnp.zeros(2), jax.random.key(0))
        >>> float(where.f.loss(where.theta, where.minibatch))
        25.0
    """

    f: Optimizee
    theta: Theta
    minibatch: PRNGKeyArray


class Histories(NamedTuple):
    """What was seen along a trajectory, a row a step: f(θ_t), ∇_t, and every optimizer's g_t.

    Example:
        What the first did to θ, and what the second would have done there:

        >>> from metadescent.problems.quadratic import QuadraticFunction
        >>> f = QuadraticFunction(jnp.eye(1), jnp.asarray([3.0]))
        >>> where = Scene(f, jnp.zeros(1), jax.random.key(0))
        >>> both = {"quick": optax.sgd(0.25), "slow": optax.sgd(0.125)}
        >>> seen = histories(both, where, num_steps=2)
        >>> seen.losses.tolist(), seen.gradients.tolist(), seen.updates["slow"].tolist()
        ([9.0, 2.25], [[-6.0], [-3.0]], [[0.75], [0.375]])
    """

    losses: Float[np.ndarray, " steps"]
    gradients: Float[np.ndarray, "steps coordinates"]
    updates: dict[str, Float[np.ndarray, "steps coordinates"]]


def scene(problem: Problem, key: PRNGKeyArray) -> Scene:
    """Draw an f and a θ₀.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> scene(Quadratic(dimension=3), jax.random.key(0)).theta.shape
        (3,)
    """
    keys = Keys(*jax.random.split(key, 4))
    f = problem.sample(keys.f)
    return Scene(f, f.init(keys.theta), keys.minibatch)


def histories(optimizers: Mapping[str, AnyOptimizer], where: Scene, *, num_steps: int) -> Histories:
    """Return the updates that the first optimizer makes, and those that the others would have made.

    Arguments:
        optimizers: by name; the first one leads.
        where: f, θ₀ and the key of the minibatches, which are those of `unroll` with this key.
        num_steps: T; the steps are t = 0 … T−1.

    Returns:
        One column for each coordinate of θ, in the order of `jax.flatten_util.ravel_pytree`.

    Raises:
        UserError: if there is no optimizer, or no step.

    Source: appendix B, "histories of updates"; figure 10.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> both = {"adam": optax.adam(0.1), "sgd": optax.sgd(0.01)}
        >>> where = scene(Quadratic(dimension=3), jax.random.key(0))
        >>> seen = histories(both, where, num_steps=5)
        >>> seen.updates["sgd"].shape, bool(jnp.allclose(seen.updates["sgd"][1], -0.01 *
        ...     seen.gradients[1]))
        ((5, 3), True)
    """
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
    """Return g_t of single coordinates as functions of the current gradient ∇_t.

    Histories are held: up to step t all optimizers have seen the gradients of the first one's
    trajectory. At step t the gradient of one coordinate is replaced, those of all others stay, and
    that coordinate's update is recorded.

    Arguments:
        optimizers: by name; the first one leads.
        where: f, θ₀ and the key of the minibatches.
        coordinates: which ones to vary, as columns of `histories`, one at a time.
        gradients: the values that each of them is given.
        num_steps: T; the steps are t = 0 … T−1.

    Raises:
        UserError: if there is no optimizer, no step, or no such coordinate.

    Source: appendix B, "proposed update as a function of current gradient"; figures 11 to 13.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> where = scene(Quadratic(dimension=3), jax.random.key(0))
        >>> values = jnp.asarray([[-1.0, 0.0, 1.0]])
        >>> found = functions({"sgd": optax.sgd(0.5)}, where, jnp.array([2]), values, num_steps=4)
        >>> found["sgd"][3, 0].tolist()
        [0.5, -0.0, -0.5]
    """
    _check(optimizers, num_steps)
    size = sum(jnp.size(leaf) for leaf in jax.tree.leaves(where.theta))
    for coordinate in np.asarray(coordinates).tolist():
        if not 0 <= coordinate < size:
            raise UserError(f"there is no coordinate {coordinate}; try one from 0 to {size - 1}")
    found = _functions(
        tuple(optimizers.values()),
        where,
        jnp.asarray(coordinates),
        jnp.asarray(gradients),
        num_steps,
    )
    return dict(zip(optimizers, found, strict=True))


def choose(
    gradients: Float[Array | np.ndarray, "steps coordinates"], count: int, seed: int
) -> Int[np.ndarray, " count"]:
    """Draw coordinates at random among those that have a gradient.

    Where f does not depend on a coordinate, as on the weights of a pixel that is always black, its
    gradient is 0 and its picture says nothing. Only coordinates whose gradient is never 0 are
    drawn; if there are not enough of them, those follow where it is 0 least often.

    Example:
        >>> choose(np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 0.0]]), 2, seed=0).tolist()
        [0, 2]
    """
    zeros = (np.asarray(gradients) == 0).sum(0)
    order = np.random.default_rng(seed).permutation(len(zeros))
    return order[np.argsort(zeros[order], kind="stable")][:count]


def around(
    gradients: Float[Array | np.ndarray, "steps k"], span: float = 10.0, points: int = 101
) -> Float[np.ndarray, "k points"]:
    """Return, for each coordinate, evenly spaced gradients from −span·s to span·s.

    s is the largest |∇_t| of the coordinate. The paper does not say how far its figures reach; ten
    times as far as what was seen shows where a function levels off.

    Example:
        >>> around(np.array([[1.0], [-2.0]]), span=2.0, points=3).tolist()
        [[-4.0, 0.0, 4.0]]
    """
    largest = np.abs(np.asarray(gradients)).max(0)
    return span * np.where(largest > 0, largest, 1.0)[:, None] * np.linspace(-1.0, 1.0, points)


def _check(optimizers: Mapping[str, AnyOptimizer], num_steps: int) -> None:
    require("the number of optimizers", len(optimizers), 1)
    require("the number of steps", num_steps, 1)


Look = Callable[[Sequence[PyTree], Theta, Theta, list[Theta]], PyTree]


def _walk(rules: tuple[AnyOptimizer, ...], where: Scene, num_steps: int, look: Look) -> PyTree:
    """Follow the first rule; return what `look` makes of (states, θ_t, ∇_t, g_t), and f(θ_t)."""

    def step(carry: PyTree, t: Array) -> tuple[PyTree, PyTree]:
        theta, states = carry
        loss, gradient = exact(where.f, theta, jax.random.fold_in(where.minibatch, t))
        moves = [m.update(gradient, h, theta) for m, h in zip(rules, states, strict=True)]
        proposed = [g for g, _ in moves]
        seen = look(states, theta, gradient, proposed)
        theta = optax.apply_updates(theta, proposed[0])
        return (theta, [h for _, h in moves]), (loss, seen)

    begin = where.theta, [m.init(where.theta) for m in rules]
    _, seen = jax.lax.scan(step, begin, jnp.arange(num_steps))
    return seen


@eqx.filter_jit
def _histories(
    rules: tuple[AnyOptimizer, ...], where: Scene, num_steps: int
) -> tuple[Array, Array, list[Array]]:
    def look(states: Sequence[PyTree], theta: Theta, gradient: Theta, g: list[Theta]) -> PyTree:
        return _row(gradient), [_row(one) for one in g]

    losses, (gradients, updates) = _walk(rules, where, num_steps, look)
    return losses, gradients, updates


@eqx.filter_jit
def _functions(
    rules: tuple[AnyOptimizer, ...],
    where: Scene,
    coordinates: Int[Array, " k"],
    values: Float[Array, "k points"],
    num_steps: int,
) -> list[Float[Array, "num_steps k points"]]:
    def look(states: Sequence[PyTree], theta: Theta, gradient: Theta, g: list[Theta]) -> PyTree:
        return [
            _varied(m, h, theta, gradient, coordinates, values)
            for m, h in zip(rules, states, strict=True)
        ]

    return _walk(rules, where, num_steps, look)[1]


def _varied(
    m: AnyOptimizer, state: PyTree, theta: Theta, gradient: Theta, coordinates: Array, values: Array
) -> Float[Array, "k points"]:
    """Return the updates of single coordinates at gradients other than theirs."""
    if isinstance(m, Coordinatewise):
        # None looks at another: a row of copies of each coordinate has all values at once.
        points = values.shape[1]
        rows = m.ravel_state(theta, state)
        rows = jax.tree.map(lambda x: jnp.repeat(x[..., coordinates], points, axis=-1), rows)
        g, _ = m.update_coordinates(values.reshape(-1).astype(phi_dtype(m)), rows)
        return g.astype(values.dtype).reshape(values.shape)
    row, unravel = ravel_pytree(gradient)

    def at(coordinate: Array, value: Array) -> Array:
        g, _ = m.update(unravel(row.at[coordinate].set(value)), state, theta)
        return _row(g)[coordinate]

    return jax.lax.map(
        lambda pair: jax.lax.map(lambda value: at(pair[0], value), pair[1]), (coordinates, values)
    )


def _row(tree: Theta) -> Float[Array, " coordinates"]:
    return ravel_pytree(tree)[0]
