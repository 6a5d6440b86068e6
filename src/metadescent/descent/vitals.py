"""Numbers that describe an optimizer's runs, from the same pass as its learning curves.

* update ratio: √(Σ g² / Σ ∇²), over all coordinates and steps of the first 8 problems
* saturated inputs: the share of gradients that the preprocessing of appendix A disregards,
  |∇| < e^−p, among those that are not 0
* hidden: √(mean h²) of the LSTM's h after the last step; h lies between −1 and 1
* saturated hidden: the share of these h within 5 % of ±1, where their derivatives vanish
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.descent.episode import draw
from metadescent.descent.unrolling import AnyOptimizer, exact, rule_for, start, walk
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem

NEAR_ONE = 0.95
# How many problems' gradients and updates are measured: these are means, and every sum takes time.
MOST = 8


class Vitals(NamedTuple):
    """The numbers above; NaN for those that an optimizer does not have."""

    start: Float[Array, ""]  # the mean f(θ_0)
    gradient: Float[Array, ""]  # √(mean ∇²)
    update_ratio: Float[Array, ""]
    saturated_inputs: Float[Array, ""]
    hidden: Float[Array, ""]
    saturated_hidden: Float[Array, ""]


class Response(NamedTuple):
    """How the first update depends on the gradient, at the gradient's own size and at size 1.

    Each is √(mean (g(∇) − g(−∇))²) / √(2 mean (g(∇)² + g(−∇)²)). It is 1 if g changes sign with ∇,
    as for SGD and Adam, and 0 if g does not depend on the sign of ∇, or is 0.
    """

    own_size: Float[Array, ""]
    size_one: Float[Array, ""]
    gradient: Float[Array, ""]  # √(mean ∇²)


def checked_curves(
    m: AnyOptimizer, problem: Problem, key: PRNGKeyArray, *, num_steps: int, num_seeds: int
) -> tuple[Float[Array, "num_seeds num_steps"], Vitals]:
    """Return what `learning_curves` returns, and the vitals of the same runs."""
    fs, keys = draw(problem, key, num_seeds)
    threshold = m.threshold() if isinstance(m, LearnedOptimizer) else 0.0

    def first(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x[:MOST], tree)

    end, (losses, sums) = walk(
        rule_for(m, fs).update,
        fs,
        start(m, fs, keys.theta),
        keys.minibatch,
        num_steps=num_steps,
        # Sums are kept, because gradients and updates themselves would be kept for all steps.
        observe=lambda step: (step.loss, _sums(first(step.gradient), first(step.g), threshold)),
    )
    last, _ = exact(fs, end.theta, jax.random.fold_in(keys.minibatch, end.step))
    squares, moved, small, nonzero = (x.sum() for x in sums)
    size = num_steps * sum(jnp.size(leaf) for leaf in jax.tree.leaves(first(end.theta)))
    h = [x.ravel() for x in hidden(end.state)]
    h = jnp.concatenate(h) if h else jnp.full(1, jnp.nan)
    vitals = Vitals(
        losses[0].mean(),
        jnp.sqrt(squares / size),
        jnp.sqrt(moved / squares),
        small / nonzero if threshold else jnp.asarray(jnp.nan),
        jnp.sqrt(jnp.mean(h**2)),
        jnp.where(jnp.isnan(h[0]), jnp.nan, jnp.mean(jnp.abs(h) > NEAR_ONE)),
    )
    return jnp.concatenate([losses[1:], last[None]]).T, vitals


@eqx.filter_jit
def response(m: AnyOptimizer, problem: Problem, key: PRNGKeyArray, num_seeds: int) -> Response:
    """Return how the first updates of fresh runs depend on the gradient."""
    fs, keys = draw(problem, key, num_seeds)
    begin = start(m, fs, keys.theta)
    _, gradient = exact(fs, begin.theta, jax.random.fold_in(keys.minibatch, 0))
    rms = jnp.sqrt(_mean_square(gradient))

    def odd_part(factor: Array) -> Array:
        plus, minus = (
            rule_for(m, fs).update(
                jax.tree.map(lambda x, sign=sign: sign * factor * x, gradient),
                begin.state,
                begin.theta,
            )[0]
            for sign in (1.0, -1.0)
        )
        change = _mean_square(jax.tree.map(jnp.subtract, plus, minus))
        both = 2 * (_mean_square(plus) + _mean_square(minus))
        # The inner `where` keeps both branches from dividing by 0.
        return jnp.where(both > 0, jnp.sqrt(change / jnp.where(both > 0, both, 1.0)), 0.0)

    return Response(odd_part(jnp.ones(())), odd_part(1.0 / jnp.where(rms > 0, rms, 1.0)), rms)


def hidden(state: PyTree) -> list[Array]:
    """Return every h in an optimizer's state; an LSTM's state consists of pairs (h, c)."""
    leaves = jax.tree.leaves(state, is_leaf=_is_pair)
    return [leaf[0] for leaf in leaves if _is_pair(leaf)]


def _is_pair(x: Any) -> bool:
    # Named tuples do not count, because Optax's states are named tuples.
    is_two = type(x) is tuple and len(x) == 2 and all(eqx.is_inexact_array(y) for y in x)
    return is_two and x[0].shape == x[1].shape


def _sums(gradient: PyTree, g: PyTree, threshold: float) -> tuple[Array, ...]:
    """Return Σ ∇², Σ g², how many gradients are too small, and how many are not 0."""

    def total(of: Any, tree: PyTree) -> Array:
        return sum((jnp.sum(of(x)) for x in jax.tree.leaves(tree)), jnp.zeros(()))

    return (
        total(jnp.square, gradient),
        total(jnp.square, g),
        total(lambda x: (x != 0) & (jnp.abs(x) < threshold), gradient),
        total(lambda x: x != 0, gradient),
    )


def _mean_square(tree: PyTree) -> Array:
    leaves = jax.tree.leaves(tree)
    total = sum((jnp.sum(x**2) for x in leaves), jnp.zeros(()))
    return total / sum(x.size for x in leaves)
