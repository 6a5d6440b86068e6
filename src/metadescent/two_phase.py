"""The meta-gradient in two phases: what first order makes possible for a coordinatewise rule.

With ∂∇_t/∂φ dropped, θ_T = θ_0 + Σ g_t makes the cotangent of g_t a suffix sum of gradients that
the forward pass has computed already:

    λ_t = Σ_{s>t} w_s ∇_s,        dL/dφ = Σ_t ⟨λ_t, ∂g_t/∂φ⟩.

Phase one (`record`) unrolls forward and keeps only ∇_t. Phase two (`meta_gradient`) runs the rule
over the recorded ∇_t once more, and back (`Coordinatewise.pull_back`). Inputs and cotangents are
given by then and no coordinate depends on another, so it goes block by block in a working set that
fits the cache, with memory of T floats a coordinate; or over a random sample of them only.
"""

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.optimizer import Coordinatewise
from metadescent.problem import Optimizee, Theta
from metadescent.unroll import Trajectory, exact


def record(
    m: Coordinatewise, f: Optimizee, trajectory: Trajectory, key: PRNGKeyArray, *, num_steps: int
) -> tuple[Trajectory, Float[Array, "num_steps ..."], Theta]:
    """Phase one: unroll as `unroll` does, and return ∇_0 … ∇_{num_steps} too, stacked along time.

    Nothing here is differentiated. All coordinates of all leaves go through the rule as one row.
    """
    theta, state, t = trajectory

    def step(carry: Trajectory, _: None) -> tuple[Trajectory, tuple[Array, Theta]]:
        theta, rows, t = carry
        loss, gradient = exact(f, theta, jax.random.fold_in(key, t))
        row, unravel = ravel_pytree(gradient)
        g, rows = m.update_coordinates(row, rows)
        return Trajectory(optax.apply_updates(theta, unravel(g)), rows, t + 1), (loss, gradient)

    begin = Trajectory(theta, m.ravel_state(theta, state), t)
    (theta, rows, t), (losses, gradients) = jax.lax.scan(step, begin, length=num_steps)
    loss, gradient = exact(f, theta, jax.random.fold_in(key, t))
    losses, gradients = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b[None]]), (losses, gradients), (loss, gradient)
    )
    return Trajectory(theta, m.unravel_state(theta, rows), t), losses[1:], gradients


def meta_gradient(
    m: Coordinatewise,
    state: PyTree[Array],
    gradients: Theta,
    weights: Float[Array, " num_steps"],
    *,
    num_coordinates: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Coordinatewise:
    """Phase two: return d/dφ Σ_t w_t f(θ_t), summed over a batch if there is one.

    Arguments:
        m: the rule.
        state: h at the start of the segment, in θ's structure.
        gradients: ∇_0 … ∇_T, each leaf with time as its first axis.
        weights: w_1 … w_T.
        num_coordinates: estimate from this many coordinates, drawn with probability in proportion
            to Σ_t |λ_t| and weighted by its inverse: unbiased, at a fraction of the cost. All
            coordinates if None.
        key: draws the sample; without one, all coordinates are taken.

    Returns:
        The gradient, as a module of m's structure with arrays where φ is.
    """
    first = jax.tree.map(lambda x: x[0], gradients)
    inputs = jax.vmap(lambda tree: ravel_pytree(tree)[0])(gradients)
    cotangents = jnp.cumsum((weights[:, None] * inputs[1:])[::-1], axis=0)[::-1]
    rows = m.ravel_state(first, state)
    inputs = inputs[:-1]
    if num_coordinates is not None and key is not None and num_coordinates < inputs.shape[1]:
        chosen, inverse = _sample(jnp.abs(cotangents).sum(0), num_coordinates, key)
        inputs, cotangents = inputs[:, chosen], cotangents[:, chosen] * inverse
        rows = jax.tree.map(lambda x: x[..., chosen], rows)
    return m.pull_back(rows, inputs, cotangents)


def _sample(
    importance: Float[Array, " n"], count: int, key: PRNGKeyArray
) -> tuple[Array, Float[Array, " count"]]:
    """Draw `count` coordinates by systematic sampling; return them and 1 / (count · p)."""
    # A little of the uniform distribution keeps every weight bounded.
    p = 0.9 * importance / jnp.maximum(importance.sum(), 1e-30) + 0.1 / importance.size
    cumulative = jnp.cumsum(p / p.sum())
    points = (jnp.arange(count) + jax.random.uniform(key)) / count
    chosen = jnp.searchsorted(cumulative, points * cumulative[-1]).clip(0, importance.size - 1)
    return chosen, 1.0 / (count * p[chosen])
