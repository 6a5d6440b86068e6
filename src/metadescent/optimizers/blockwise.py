"""The derivative of a coordinatewise rule with respect to φ, block by block of coordinates.

Σ_t ⟨λ_t, ∂g_t/∂φ⟩,       (g_t, h_{t+1}) = m(∇_t, h_t, φ),  inputs ∇_t and cotangents λ_t given
"""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

Module = TypeVar("Module", bound=eqx.Module)


def pull_back_blockwise(
    update: Callable[[Module, Array, PyTree[Array]], tuple[Array, PyTree[Array]]],
    m: Module,
    state: PyTree[Array],
    inputs: Float[Array, "T *features n"],
    cotangents: Float[Array, "T n"],
    *,
    block: int = 4096,
) -> Module:
    """Return Σ_t ⟨λ_t, ∂g_t/∂φ⟩ for n coordinates, as m with None in place of what is not φ."""
    n = inputs.shape[-1]
    # As few blocks as possible, of one size. A block's h of all steps stays in the cache.
    blocks = -(-n // block)
    size = -(-n // blocks)

    def split(x: Array) -> Array:
        # Padding has no cotangent, so it adds nothing.
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, blocks * size - n)])
        return jnp.moveaxis(padded.reshape((*x.shape[:-1], blocks, size)), -2, 0)

    phi, static = eqx.partition(m, eqx.is_inexact_array)

    def add_block(total: PyTree, rows: PyTree) -> tuple[PyTree, None]:
        state, inputs, cotangents = rows

        def pairing(phi: PyTree) -> Float[Array, ""]:
            rule = eqx.combine(phi, static)

            # The backward pass computes each step again, so that only h is kept.
            @jax.checkpoint
            def step(state: PyTree, xs: tuple[Array, Array]) -> tuple[PyTree, Array]:
                g, state = update(rule, xs[0], state)
                return state, g @ xs[1]

            return jax.lax.scan(step, state, (inputs, cotangents))[1].sum()

        return jax.tree.map(jnp.add, total, jax.grad(pairing)(phi)), None

    zeros = jax.tree.map(jnp.zeros_like, phi)
    return jax.lax.scan(add_block, zeros, jax.tree.map(split, (state, inputs, cotangents)))[0]
