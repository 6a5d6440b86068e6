"""The fused LSTM on rows of coordinates: what `lstm.cc` computes, as JAX functions.

φ is given as a flat list of arrays: (weight_ih, weight_hh, bias) of each layer, then weight and
bias of the output; h as (h, c) of each layer, features × coordinates. All float32.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from metadescent._ffi import kernels

Arrays = Sequence[Float[Array, "..."]]


def update(
    x: Float[Array, "inputs *n"], phi: Arrays, state: Arrays, scale: float
) -> tuple[Float[Array, "*n"], list[Array]]:
    """Return g and the next h of coordinates whose features are x. Cannot be differentiated.

    Features come first; the coordinates may have any shape.
    """
    shapes = [jax.ShapeDtypeStruct(x.shape[1:], x.dtype), *map(_shape, state)]
    call = jax.ffi.ffi_call(
        kernels()["lstm_update"],
        shapes,
        # h is renewed where it lies.
        input_output_aliases={1 + len(phi) + i: 1 + i for i in range(len(state))},
        vmap_method="sequential",
    )
    g, *state = call(x, *phi, *state, scale=np.float32(scale))
    return g, state


def pull_back(
    x: Float[Array, "inputs T n"],
    cotangents: Float[Array, "T n"],
    phi: Arrays,
    state: Arrays,
    scale: float,
) -> list[Array]:
    """Return Σ_t ⟨λ_t, ∂g_t/∂φ⟩ over T steps from h, in φ's order. Cannot be differentiated."""
    shapes = list(map(_shape, phi))
    call = jax.ffi.ffi_call(kernels()["lstm_pull_back"], shapes, vmap_method="sequential")
    return list(call(x, cotangents, *phi, *state, scale=np.float32(scale)))


def vjp(
    x: Float[Array, "inputs *n"],
    phi: Arrays,
    state: Arrays,
    scale: float,
    cotangent: Float[Array, "*n"],
    state_cotangents: Arrays,
) -> tuple[list[Array], Array, list[Array]]:
    """Return the cotangents of φ, x and h, given those of what `update` returns of them.

    Cannot be differentiated.
    """
    shapes = [*map(_shape, phi), _shape(x), *map(_shape, state)]
    call = jax.ffi.ffi_call(kernels()["lstm_vjp"], shapes, vmap_method="sequential")
    found = call(x, cotangent, *phi, *state, *state_cotangents, scale=np.float32(scale))
    end = len(phi)
    return list(found[:end]), found[end], list(found[end + 1 :])


def _shape(x: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)
