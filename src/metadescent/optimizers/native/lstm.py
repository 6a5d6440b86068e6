"""The fused LSTM on coordinates: what `lstm.cc` computes, as JAX functions.

φ is a flat list of arrays: (weight_ih, weight_hh, bias) of each layer, then weight and bias of the
output; h is (h, c) of each layer. Features come first. All float32; none can be differentiated.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from metadescent._ffi import kernels

Arrays = Sequence[Float[Array, "..."]]


def lstm_update(
    x: Float[Array, "inputs *n"], phi: Arrays, state: Arrays, scale: float
) -> tuple[Float[Array, "*n"], list[Array]]:
    """Return g and the next h of coordinates, in any shape, whose features are x."""
    shapes = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype), *map(_shape, state)]
    call = jax.ffi.ffi_call(
        kernels()["lstm_update"],
        shapes,
        # h is renewed where it lies; x and φ come before it, g before what it becomes.
        input_output_aliases={1 + len(phi) + i: 1 + i for i in range(len(state))},
        vmap_method="sequential",
    )
    g, *state = call(x, *phi, *state, scale=np.float32(scale))
    return g, state


def lstm_pull_back(
    x: Float[Array, "inputs T n"],
    cotangents: Float[Array, "T n"],
    phi: Arrays,
    state: Arrays,
    scale: float,
) -> list[Array]:
    """Return Σ_t ⟨λ_t, ∂g_t/∂φ⟩ over T steps from h, in φ's order."""
    shapes = list(map(_shape, phi))
    call = jax.ffi.ffi_call(kernels()["lstm_pull_back"], shapes, vmap_method="sequential")
    return list(call(x, cotangents, *phi, *state, scale=np.float32(scale)))


def lstm_vjp(
    x: Float[Array, "inputs *n"],
    phi: Arrays,
    state: Arrays,
    scale: float,
    cotangent: Float[Array, "*n"],
    state_cotangents: Arrays,
) -> tuple[list[Array], Array, list[Array]]:
    """Return the cotangents of φ, x and h, given those of what `lstm_update` returns of them."""
    shapes = [*map(_shape, phi), _shape(x), *map(_shape, state)]
    call = jax.ffi.ffi_call(kernels()["lstm_vjp"], shapes, vmap_method="sequential")
    arrays = call(x, cotangent, *phi, *state, *state_cotangents, scale=np.float32(scale))
    end = len(phi)
    return list(arrays[:end]), arrays[end], list(arrays[end + 1 :])


def _shape(x: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)
