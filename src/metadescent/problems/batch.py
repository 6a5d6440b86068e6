"""Optimizees side by side: a `Batch` of them is an optimizee itself, and a `Part` divides a batch.

F(θ¹, …, θᴮ) = (f₁(θ¹), …, f_B(θᴮ))
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._checks import check_theta, check_value
from metadescent.problems.base import Optimizee, Problem, Theta


class Place(eqx.Module):
    """Which of several equal parts of a batch this is."""

    # An array, so that one compiled program serves all parts.
    index: Int[Array, ""]
    parts: int = eqx.field(static=True)


class Part(Problem):
    """p(f), restricted to one of the equal parts of a batch of parts · size optimizees.

    A part has the optimizees from number index · size on. The parts that one key gives are together
    the whole batch, so results do not depend on the number of parts.
    """

    whole: Problem
    place: Place

    def sample(self, key: PRNGKeyArray) -> Optimizee:
        return self.whole.sample(key)


def within(problem: Problem, place: Place | None) -> Problem:
    """Return the part of a problem in a place, or all of it."""
    return problem if place is None else Part(problem, place)


def in_parts(
    run: Callable[[Place | None, int], PyTree],
    num_seeds: int,
    at_once: int | None,
    progress: Callable[[float], object] = lambda _: None,
) -> PyTree:
    """Return what `run` returns of all seeds, of which at most `at_once` are in one call.

    `run` is called with a part of the seeds, None for all, and with their number. The arrays that
    it returns have an axis of seeds first. `progress` is called with the share that is done.
    """
    # Many copies of a large problem would not fit into memory, or into a processor's cache.
    parts = parts_of(num_seeds, at_once)
    if parts == 1:
        return run(None, num_seeds)
    made = []
    for index in range(parts):
        # An array, so that one compiled program serves all parts.
        made.append(run(Place(jnp.asarray(index), parts), num_seeds // parts))
        if not isinstance(jax.tree.leaves(made[-1])[0], Tracer):
            jax.block_until_ready(made[-1])
            progress((index + 1) / parts)
    return jax.tree.map(lambda *each: jnp.concatenate(each), *made)


def parts_of(size: int, at_once: int | None) -> int:
    """Return the least number of equal parts of a batch that have at most `at_once` each."""
    counts = (parts for parts in range(1, size + 1) if size % parts == 0)
    return next(parts for parts in counts if at_once is None or size // parts <= max(1, at_once))


def split_keys(key: PRNGKeyArray, size: int, place: Place | None = None) -> Array:
    """Return a key for each of `size` optimizees: all of a batch, or those of one part of it."""
    if place is None:
        return jax.random.split(key, size)
    # `split` into fewer keys would give other keys, so each part makes those of the whole batch.
    keys = jax.random.split(key, size * place.parts)
    return jax.lax.dynamic_slice_in_dim(keys, place.index * size, size)


def numbers(size: int, place: Place | None = None) -> Int[Array, " size"]:
    """Return the number of each of `size` optimizees, counted through the parts of a batch."""
    first = 0 if place is None else place.index * size
    return first + jnp.arange(size)


def place_in(problem: Problem) -> tuple[Problem, Place | None]:
    """Return the problem to draw from, and the part of a batch to draw; None for all of it."""
    if isinstance(problem, Part):
        return problem.whole, problem.place
    return problem, None


class Batch(Optimizee):
    """B optimizees side by side, as one: F(θ¹, …, θᴮ) = (f₁(θ¹), …, f_B(θᴮ)).

    θ has the leaves of the single θ's with a leading axis of length B, and `loss` returns all B
    values, each of which depends on its own slice of θ only. Arrays that `sample` takes from the
    problem unchanged, such as a dataset, are shared and never copied B times.

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> fs = Batch.sample(Quadratic(dimension=3), jax.random.key(0), size=5)
        >>> theta = fs.init(jax.random.key(1))
        >>> theta.shape, fs.loss(theta, jax.random.key(2)).shape
        ((5, 3), (5,))
    """

    own: PyTree
    shared: PyTree
    size: int = eqx.field(static=True)
    place: Place | None = None

    @classmethod
    def sample(cls, problem: Problem, key: PRNGKeyArray, size: int) -> "Batch":
        """Draw `size` optimizees of a problem."""
        problem, place = place_in(problem)
        keys = split_keys(key, size, place)
        # A leaf that f takes from the problem is the same object, also while JAX traces.
        untouched = {id(leaf) for leaf in jax.tree.leaves(problem)}

        def is_own(leaf: Any) -> bool:
            return eqx.is_array(leaf) and id(leaf) not in untouched

        counted = numbers(size, place)
        # One f is drawn outside of `vmap`, which would give shared arrays an axis of their own.
        first = problem.numbered(keys[0], counted[0])
        _, shared = eqx.partition(first, is_own)

        def draw(key: PRNGKeyArray, number: Int[Array, ""]) -> PyTree:
            return eqx.partition(problem.numbered(key, number), is_own)[0]

        own = jax.vmap(draw)(keys, counted)
        return cls(own, shared, size, place)

    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw every θ₀; leaves have shape (B, …)."""
        keys = split_keys(key, self.size, self.place)

        def draw(own: PyTree, key: PRNGKeyArray) -> Theta:
            f = eqx.combine(own, self.shared)
            theta = f.init(key)
            # f may be a user's code. The check sees only shapes and dtypes, so it costs nothing.
            check_theta(theta, f"{type(f).__name__}.init")
            return theta

        return jax.vmap(draw)(self.own, keys)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, " B"]:
        """Evaluate every f at its own θ, on its own minibatch."""
        keys = split_keys(key, self.size, self.place)

        def evaluate(own: PyTree, theta: Theta, key: PRNGKeyArray) -> Float[Array, ""]:
            f = eqx.combine(own, self.shared)
            value = f.loss(theta, key)
            check_value(value, f"{type(f).__name__}.loss")
            return value

        return jax.vmap(evaluate)(self.own, theta, keys)
