"""The meta-gradient in two phases: what first order makes possible for a coordinatewise rule.

With ∂∇_t/∂φ dropped, θ_T = θ_0 + Σ g_t makes the cotangent of g_t a suffix sum of gradients that
the forward pass has computed already:

    λ_t = Σ_{s>t} w_s ∇_s,        dL/dφ = Σ_t ⟨λ_t, ∂g_t/∂φ⟩.

Phase one (`record`) unrolls forward and keeps only ∇_t. Phase two (`meta_gradient`) runs the rule
once more over the recorded ∇_t. Inputs and cotangents are now given and no coordinate depends on
another, so it goes block by block in a working set that fits the cache, with memory of T floats a
coordinate; and it may go over a random sample of the coordinates only.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.optimizer import Coordinatewise
from metadescent.problem import Optimizee, Theta
from metadescent.unroll import Trajectory, exact

BLOCK = 4096


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
    return _over_blocks(m, rows, inputs, cotangents)


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


def _over_blocks(
    m: Coordinatewise,
    rows: PyTree[Array],
    inputs: Float[Array, "T n"],
    cotangents: Float[Array, "T n"],
) -> Coordinatewise:
    n = inputs.shape[1]
    blocks = -(-n // BLOCK)
    size = -(-n // blocks)

    def split(x: Array) -> Array:
        # Padding has no cotangent, so it adds nothing.
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, blocks * size - n)])
        return jnp.moveaxis(padded.reshape((*x.shape[:-1], blocks, size)), -2, 0)

    phi, static = eqx.partition(m, eqx.is_inexact_array)

    def add_block(total: PyTree, block: PyTree) -> tuple[PyTree, None]:
        rows, inputs, cotangents = block

        def pairing(phi: PyTree) -> Float[Array, ""]:
            rule = eqx.combine(phi, static)

            @jax.checkpoint
            def step(rows: PyTree, xs: tuple[Array, Array]) -> tuple[PyTree, Array]:
                g, rows = rule.update_coordinates(xs[0], rows)
                return rows, g @ xs[1]

            return jax.lax.scan(step, rows, (inputs, cotangents))[1].sum()

        return jax.tree.map(jnp.add, total, jax.grad(pairing)(phi)), None

    zeros = jax.tree.map(jnp.zeros_like, phi)
    return jax.lax.scan(add_block, zeros, jax.tree.map(split, (rows, inputs, cotangents)))[0]
