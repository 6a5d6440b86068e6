"""Rules that search along a line, such as `optax.lbfgs`, with every gradient counted.

Each step of such a rule evaluates f and its gradient at several places, until it has a suitable
step length. So that it compares with rules of one gradient a step, its learning curve is over
gradients: the k-th value is the loss that it has reached with k gradients.
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


class Standpoint(NamedTuple):
    """The state of a search, f(θ) and ∇f(θ), and the number of gradients since θ₀."""

    theta: Theta
    state: PyTree
    loss: Float[Array, ""]
    gradient: Theta
    gradients: Int[Array, ""]


def searches_along_line(m: AnyOptimizer, theta: PyTree) -> bool:
    """Return whether a rule searches along a line; shapes are enough for θ."""
    # The state of a search counts its steps, wherever in a chain the search is.
    return _steps(jax.eval_shape(m.init, theta)) is not None


def at_start(m: Any, theta: Theta, loss: Float[Array, ""], gradient: Theta) -> Standpoint:
    """Return the state of a search at θ₀, whose gradient is the first that counts."""
    return Standpoint(theta, m.init(theta), loss, gradient, jnp.asarray(1))


def search(m: Any, f: Optimizee, reached: Standpoint, key: PRNGKeyArray) -> Standpoint:
    """Make one step, with as many gradients as it takes."""
    theta, state, loss, gradient, gradients = reached
    g, state = m.update(
        gradient,
        state,
        theta,
        value=loss,
        grad=gradient,
        value_fn=lambda theta: f.loss(theta, key),
    )
    return Standpoint(
        optax.apply_updates(theta, g),
        state,
        # The search ended where these were evaluated, so they cost no further gradients.
        optax.tree.get(state, "value"),
        optax.tree.get(state, "grad"),
        # At a minimum a search has no steps; if it counted as 0, the loop below would never end.
        gradients + jnp.maximum(_steps(state), 1),
    )


def searched_curves(
    m: Any, fs: Batch, theta: Theta, key: PRNGKeyArray, *, num_gradients: int
) -> Float[Array, "B num_gradients"]:
    """Return, for each f from its θ₀, the loss that is reached with 1, 2, … gradients."""

    def curve(own: PyTree, theta: Theta) -> Float[Array, " num_gradients"]:
        f = eqx.combine(own, fs.shared)
        gradients = jnp.arange(1, num_gradients + 1)

        def is_unspent(carry: tuple[Standpoint, Array]) -> Array:
            return carry[0].gradients < num_gradients

        def go_on(carry: tuple[Standpoint, Array]) -> tuple[Standpoint, Array]:
            reached, losses = carry
            # Another key would draw another minibatch, and the line would be of another function.
            reached = search(m, f, reached, key)
            return reached, jnp.where(gradients >= reached.gradients, reached.loss, losses)

        begin = at_start(m, theta, *jax.value_and_grad(f.loss)(theta, key))
        losses = jnp.full(num_gradients, begin.loss)
        return jax.lax.while_loop(is_unspent, go_on, (begin, losses))[1]

    # The fs go one after another, because their searches have different numbers of steps.
    return jax.lax.map(lambda f_and_theta: curve(*f_and_theta), (fs.own, theta))


def _steps(state: PyTree) -> Any:
    return optax.tree.get(state, "num_linesearch_steps")
