"""One optimization, step by step, with its gradients counted, to look at and for results.

`unroll` runs many steps as one program, for meta-training; this yields every θ_t.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.descent import line_search
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.problems.base import Optimizee, Theta


class Visited(NamedTuple):
    """A θ_t, f(θ_t), and the number of gradients that had been evaluated when θ_t was reached."""

    theta: Theta
    loss: Float[Array, ""]
    gradients: int


def descend(
    m: AnyOptimizer, f: Optimizee, theta: Theta, key: PRNGKeyArray, *, num_gradients: int
) -> Iterator[Visited]:
    """Optimize f from θ₀ with a budget of gradients; yield θ₀ and each θ_t as it is reached.

    A rule of one gradient a step makes `num_gradients` steps. A rule with a line search, such as
    `optax.lbfgs`, takes several gradients a step: all of them count, and a θ_t that would exceed
    the budget is not reached.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        f: one optimizee. A line search needs one whose loss ignores its key.
        theta: θ₀.
        key: the minibatch of step t is drawn from `fold_in(key, t)`, as in `unroll`.

    Source: figure 2.

    Example:
        >>> import jax, optax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> f, key = Quadratic().sample(jax.random.key(0)), jax.random.key(1)
        >>> way = list(descend(optax.sgd(0.01), f, f.init(key), key, num_gradients=3))
        >>> [visited.gradients for visited in way], bool(way[3].loss < way[0].loss)
        ([0, 1, 2, 3], True)
    """
    walk = _searched if line_search.searches_along_line(m, theta) else _stepped
    for visited in walk(m, f, theta, key):
        if visited.gradients > num_gradients:
            return
        yield visited
        if visited.gradients == num_gradients:
            return


def curve_of(way: Iterable[Visited], num_gradients: int) -> Float[np.ndarray, " num_gradients"]:
    """Return the loss that is reached with 1, 2, … gradients, from θ₀ on."""
    losses = np.full(num_gradients + 1, np.nan)
    for visited in way:
        # Between two steps of a line search the loss is that of the first.
        losses[visited.gradients :] = visited.loss
    return losses[1:]


def _stepped(m: AnyOptimizer, f: Optimizee, theta: Theta, key: PRNGKeyArray) -> Iterator[Visited]:
    state = m.init(theta)
    for t in count():
        loss, gradient = _evaluate(f, theta, jax.random.fold_in(key, t))
        yield Visited(theta, loss, t)
        theta, state = _move(m, theta, state, gradient)


def _searched(m: Any, f: Optimizee, theta: Theta, key: PRNGKeyArray) -> Iterator[Visited]:
    loss, gradient = _evaluate(f, theta, key)
    yield Visited(theta, loss, 0)
    reached = line_search.at_start(m, theta, loss, gradient)
    while True:
        reached = _search(m, f, reached, key)
        yield Visited(reached.theta, reached.loss, int(reached.gradients))


# A step is two programs, not one, so that several rules on one f share the larger program.
@eqx.filter_jit
def _evaluate(f: Optimizee, theta: Theta, key: PRNGKeyArray) -> tuple[Float[Array, ""], Theta]:
    return jax.value_and_grad(f.loss)(theta, key)


@eqx.filter_jit
def _move(m: AnyOptimizer, theta: Theta, state: PyTree, gradient: Theta) -> tuple[Theta, PyTree]:
    g, state = m.update(gradient, state, theta)
    return optax.apply_updates(theta, g), state


_search = eqx.filter_jit(line_search.search)
