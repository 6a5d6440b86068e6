"""Rules that search along a line, such as `optax.lbfgs`, with every gradient counted.

Each step of such a rule evaluates f and its gradient at several places, until a step length
serves. To compare it with rules of one gradient a step, its learning curve goes by gradients: its
k-th value is the loss that k gradients had led to.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent.descent.unrolling import AnyOptimizer
from metadescent.problems.base import Optimizee, Theta
from metadescent.problems.batch import Batch


class Found(NamedTuple):
    """Where a search stands, f(θ) and ∇f(θ) there, and how many gradients it took from θ₀ on."""

    theta: Theta
    state: PyTree
    loss: Float[Array, ""]
    gradient: Theta
    gradients: Int[Array, ""]


def searches(m: AnyOptimizer, theta: Theta) -> bool:
    """Return whether a rule searches along a line.

    Example:
        >>> searches(optax.lbfgs(), jnp.zeros(2)), searches(optax.sgd(0.1), jnp.zeros(2))
        (True, False)
    """
    return _steps(jax.eval_shape(m.init, theta)) is not None


def begin(m: Any, f: Optimizee, theta: Theta, key: PRNGKeyArray) -> Found:
    """Return where a search stands at θ₀, the gradient of which is the first."""
    return Found(theta, m.init(theta), *jax.value_and_grad(f.loss)(theta, key), jnp.asarray(1))


def search(m: Any, f: Optimizee, found: Found, key: PRNGKeyArray) -> Found:
    """Make one step, of as many gradients as it takes."""
    theta, state, loss, gradient, gradients = found
    g, state = m.update(
        gradient,
        state,
        theta,
        value=loss,
        grad=gradient,
        value_fn=lambda theta: f.loss(theta, key),
    )
    return Found(
        optax.apply_updates(theta, g),
        state,
        optax.tree.get(state, "value"),
        optax.tree.get(state, "grad"),
        gradients + jnp.maximum(_steps(state), 1),
    )


def searched_curves(
    m: Any, fs: Batch, theta: Theta, key: PRNGKeyArray, *, num_gradients: int
) -> Float[Array, "B num_gradients"]:
    """Return, for each f, the loss that 1, 2, … gradients had led to.

    The searches go one f after another: they differ in their numbers of steps. Each f must be one
    that ignores its key, as a line through another minibatch is a line through another function.

    Arguments:
        theta: θ₀ of every f.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> key = jax.random.key(0)
        >>> fs = Batch.sample(Quadratic(dimension=2), key, 3)
        >>> searched_curves(optax.lbfgs(), fs, fs.init(key), key, num_gradients=5).shape
        (3, 5)
    """

    def curve(own: PyTree, theta: Theta) -> Float[Array, " num_gradients"]:
        f = eqx.combine(own, fs.shared)
        gradients = jnp.arange(1, num_gradients + 1)

        def is_unspent(carry: tuple[Found, Array]) -> Array:
            return carry[0].gradients < num_gradients

        def go_on(carry: tuple[Found, Array]) -> tuple[Found, Array]:
            found, losses = carry
            found = search(m, f, found, key)
            return found, jnp.where(gradients >= found.gradients, found.loss, losses)

        here = begin(m, f, theta, key)
        losses = jnp.full(num_gradients, here.loss)
        return jax.lax.while_loop(is_unspent, go_on, (here, losses))[1]

    return jax.lax.map(lambda at: curve(*at), (fs.own, theta))


def _steps(state: PyTree) -> Any:
    return optax.tree.get(state, "num_linesearch_steps")
