"""Maxima of squares and moments of channels: what `pooling.cc` computes, as JAX functions.

None of them can be differentiated; `problems/pooling.py` has the derivatives.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent._ffi import kernels

Maps = Float[Array, "_ _ _ c"]
Channels = Float[Array, " c"]


def pool_maps(z: Maps) -> tuple[Maps, Channels, Channels]:
    """Return the maximum of each square of 2 × 2, and every channel's mean and variance."""
    n, height, width, channels = z.shape
    shapes = ((n, height // 2, width // 2, channels), (channels,), (channels,))
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    # Under `vmap` all arrays get an axis in front, over which the kernel loops.
    call = jax.ffi.ffi_call(kernels()["pool"], results, vmap_method="broadcast_all")
    m, mean, variance = call(z)
    return m, mean, variance


def unpool_maps(
    z: Maps, m: Maps, mean: Channels, dm: Maps, dmean: Channels, dvariance: Channels
) -> Maps:
    """Return the cotangent of z, given the results of `pool_maps` and their cotangents."""
    result = jax.ShapeDtypeStruct(z.shape, jnp.float32)
    call = jax.ffi.ffi_call(kernels()["unpool"], result, vmap_method="broadcast_all")
    return call(z, m, mean, dm, dmean, dvariance)
