"""How an optimizer feels while it runs: few numbers, in the same pass as its learning curves.

* update ratio: √(Σ g² / Σ ∇²), over all coordinates and steps of the first 8 problems
* saturated inputs: the share of gradients, of those that are not 0, that the preprocessing of
  appendix A disregards, |∇| < e^−p
* hidden: √(mean h²) of the LSTM's h after the last step; h lies between −1 and 1
* saturated hidden: the share of these h within 5 % of ±1, where their derivatives vanish
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.descent.episode import draw, start_batch
from metadescent.descent.unrolling import AnyOptimizer, Trajectory, exact, rule_for
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem

NEAR_ONE = 0.95
MOST = 8
"""Problems whose gradients and updates are looked at: they are means, and every sum takes time."""


class Vitals(NamedTuple):
    """The numbers above; NaN where an optimizer has no such thing. `start` is the mean f(θ_0).

    Example:
        The vitals of SGD, which has no h:

        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.full((), 3.0))
        >>> sgd, sizes = optax.sgd(0.25), {"num_steps": 1, "num_seeds": 2}
        >>> _, found = eqx.filter_jit(checked_curves)(sgd, f, jax.random.key(0), **sizes)
        >>> [float(x) for x in (found.start, found.gradient, found.update_ratio, found.hidden)]
        [9.0, 6.0, 0.25, nan]
    """

    start: Float[Array, ""]
    gradient: Float[Array, ""]
    update_ratio: Float[Array, ""]
    saturated_inputs: Float[Array, ""]
    hidden: Float[Array, ""]
    saturated_hidden: Float[Array, ""]


class Response(NamedTuple):
    """How the first update depends on the gradient, at the gradient's own size and at size 1.

    Each is √(mean (g(∇) − g(−∇))²) / √(2 mean (g(∇)² + g(−∇)²)): 1 where g turns round with ∇, as
    it does for SGD and Adam, 0 where g does not depend on the sign of ∇, or is 0. `gradient` is the
    root mean square of ∇.

    Example:
        A rule that goes on whatever ∇ is does not turn round with it:

        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.full((), 3.0))
        >>> constant = optax.stateless(lambda g, theta: jax.tree.map(jnp.ones_like, g))
        >>> [float(x) for x in response(constant, f, jax.random.key(0), 1)]
        [0.0, 0.0, 6.0]
    """

    own_size: Float[Array, ""]
    size_one: Float[Array, ""]
    gradient: Float[Array, ""]


def checked_curves(
    m: AnyOptimizer, problem: Problem, key: PRNGKeyArray, *, num_steps: int, num_seeds: int
) -> tuple[Float[Array, "num_seeds num_steps"], Vitals]:
    """Return what `learning_curves` returns, and the vitals of the same runs.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> sgd = optax.sgd(0.01)
        >>> curves, vitals = checked_curves(
        ...     sgd, Quadratic(), jax.random.key(0), num_steps=3, num_seeds=2
        ... )
        >>> curves.shape, round(float(vitals.update_ratio), 3)
        ((2, 3), 0.01)
    """
    fs, keys = draw(problem, key, num_seeds)
    rule = rule_for(m, fs)
    threshold = m.threshold() if isinstance(m, LearnedOptimizer) else 0.0

    def first(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: x[:MOST], tree)

    def step(carry: Trajectory, _: None) -> tuple[Trajectory, PyTree]:
        theta, state, t = carry
        loss, gradient = exact(fs, theta, jax.random.fold_in(keys.minibatch, t))
        g, state = rule.update(gradient, state, theta)
        seen = loss, _sums(first(gradient), first(g), threshold)
        return Trajectory(optax.apply_updates(theta, g), state, t + 1), seen

    begin = start_batch(m, problem, key, num_seeds)
    end, (losses, sums) = jax.lax.scan(step, begin, length=num_steps)
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
    """Return how the first updates of fresh runs depend on the gradient.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> found = response(optax.sgd(0.1), Quadratic(), jax.random.key(0), 2)
        >>> [round(float(x), 4) for x in found[:2]]
        [1.0, 1.0]
    """
    fs, keys = draw(problem, key, num_seeds)
    begin = start_batch(m, problem, key, num_seeds)
    _, gradient = exact(fs, begin.theta, jax.random.fold_in(keys.minibatch, 0))
    rms = jnp.sqrt(_mean_square(gradient))

    def odd_part(factor: Array) -> Array:
        there, back = (
            rule_for(m, fs).update(
                jax.tree.map(lambda x, sign=sign: sign * factor * x, gradient),
                begin.state,
                begin.theta,
            )[0]
            for sign in (1.0, -1.0)
        )
        change = _mean_square(jax.tree.map(jnp.subtract, there, back))
        both = 2 * (_mean_square(there) + _mean_square(back))
        return jnp.where(both > 0, jnp.sqrt(change / jnp.where(both > 0, both, 1.0)), 0.0)

    return Response(odd_part(jnp.ones(())), odd_part(1.0 / jnp.where(rms > 0, rms, 1.0)), rms)


def hidden(state: PyTree) -> list[Array]:
    """Return every h in an optimizer's state: an LSTM's is made of pairs (h, c).

    Example:
        >>> from metadescent.optimizers.rnnprop import RNNProp
        >>> m = RNNProp((4, 3), key=jax.random.key(0))
        >>> [h.shape for h in hidden(m.init(jnp.zeros(7)))]
        [(4, 7), (3, 7)]
    """
    leaves = jax.tree.leaves(state, is_leaf=_is_pair)
    return [leaf[0] for leaf in leaves if _is_pair(leaf)]


def _is_pair(x: Any) -> bool:
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
