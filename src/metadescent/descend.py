"""One optimization, step by step, with its gradients counted: for looking at, and for results.

`unroll` runs many steps as one program and is for learning; this hands out every θ_t.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.problem import Optimizee, Theta
from metadescent.unroll import AnyOptimizer


class Visited(NamedTuple):
    """A θ_t on the way down, f(θ_t), and how many gradients had been evaluated to find θ_t."""

    theta: Theta
    loss: Float[Array, ""]
    gradients: int


class _Here(NamedTuple):
    theta: Theta
    state: PyTree
    loss: Float[Array, ""]
    gradient: Theta


def descend(
    m: AnyOptimizer, f: Optimizee, theta: Theta, key: PRNGKeyArray, *, num_gradients: int
) -> Iterator[Visited]:
    """Optimize f from θ₀ with a budget of gradients; yield θ₀ and each θ_t as it is reached.

    A rule of one gradient a step makes `num_gradients` steps. One with a line search, such as
    `optax.lbfgs`, takes more at each: all of them count, and a θ_t that would take one beyond the
    budget is not reached.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        f: one optimizee. A line search needs one whose loss ignores its key.
        key: the minibatch of step t is drawn from `fold_in(key, t)`, as in `unroll`.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> f, key = Quadratic().sample(jax.random.key(0)), jax.random.key(1)
        >>> way = list(descend(optax.sgd(0.01), f, f.init(key), key, num_gradients=3))
        >>> [visited.gradients for visited in way], bool(way[3].loss < way[0].loss)
        ([0, 1, 2, 3], True)
    """
    here = _begin(m, f, theta, jax.random.fold_in(key, 0))
    searched = optax.tree.get(here.state, "num_linesearch_steps") is not None
    yield Visited(theta, here.loss, 0)
    # What a line search evaluates begins with the gradient at θ₀; later ones it has already.
    gradients, t = int(searched), 0
    while gradients < num_gradients:
        t += 1
        here = (_search if searched else _step)(m, f, here, jax.random.fold_in(key, t))
        steps = optax.tree.get(here.state, "num_linesearch_steps") if searched else 1
        gradients += int(steps)
        if gradients > num_gradients:
            return
        yield Visited(here.theta, here.loss, gradients)


def curve_of(way: Iterable[Visited], num_gradients: int) -> Float[np.ndarray, " num_gradients"]:
    """Return the loss that 1, 2, … gradients had led to, from θ₀ on.

    Example:
        >>> way = [Visited(None, 9.0, 0), Visited(None, 5.0, 2), Visited(None, 4.0, 3)]
        >>> curve_of(way, 4).tolist()
        [9.0, 5.0, 4.0, 4.0]
    """
    losses = np.full(num_gradients + 1, np.nan)
    for visited in way:
        losses[visited.gradients :] = visited.loss
    return losses[1:]


@eqx.filter_jit
def _begin(m: AnyOptimizer, f: Optimizee, theta: Theta, key: PRNGKeyArray) -> _Here:
    return _Here(theta, m.init(theta), *jax.value_and_grad(f.loss)(theta, key))


@eqx.filter_jit
def _step(m: AnyOptimizer, f: Optimizee, here: _Here, key: PRNGKeyArray) -> _Here:
    g, state = m.update(here.gradient, here.state, here.theta)
    theta = optax.apply_updates(here.theta, g)
    return _Here(theta, state, *jax.value_and_grad(f.loss)(theta, key))


@eqx.filter_jit
def _search(m: Any, f: Optimizee, here: _Here, key: PRNGKeyArray) -> _Here:
    g, state = m.update(
        here.gradient,
        here.state,
        here.theta,
        value=here.loss,
        grad=here.gradient,
        value_fn=lambda theta: f.loss(theta, key),
    )
    theta = optax.apply_updates(here.theta, g)
    return _Here(theta, state, optax.tree.get(state, "value"), optax.tree.get(state, "grad"))
