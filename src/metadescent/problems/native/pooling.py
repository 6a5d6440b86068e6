"""Maxima of squares and moments of channels: what `pooling.cc` computes, as JAX functions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent._ffi import kernels

Maps = Float[Array, "_ _ _ c"]
Channels = Float[Array, " c"]


def pool(z: Maps) -> tuple[Maps, Channels, Channels]:
    """Return the maximum of each square of 2 × 2, and every channel's mean and variance.

    Cannot be differentiated.
    """
    n, height, width, channels = z.shape
    shapes = ((n, height // 2, width // 2, channels), (channels,), (channels,))
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    call = jax.ffi.ffi_call(kernels()["pool"], results, vmap_method="broadcast_all")
    m, mean, variance = call(z)
    return m, mean, variance


def unpool(
    z: Maps, m: Maps, mean: Channels, dm: Maps, dmean: Channels, dvariance: Channels
) -> Maps:
    """Return the cotangent of z, given what `pool` returns of it and the cotangents of that.

    Cannot be differentiated.
    """
    result = jax.ShapeDtypeStruct(z.shape, jnp.float32)
    call = jax.ffi.ffi_call(kernels()["unpool"], result, vmap_method="broadcast_all")
    return call(z, m, mean, dm, dmean, dvariance)
