"""Convolutions of stride 1: what `convolution.cc` computes, as JAX functions, all float32.

None of them can be differentiated; `problems/convolution.py` has the derivatives.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent._ffi import kernels


def slide(
    x: Float[Array, "n h w inputs"], window: Float[Array, "rows columns inputs outputs"]
) -> Float[Array, "n h w outputs"]:
    """Return the sums over a window that slides over x, with zeros around it."""
    return _call("slide", (*x.shape[:-1], window.shape[-1]), x, window)


def pull_window(
    x: Float[Array, "n h w inputs"], dy: Float[Array, "n h w outputs"], size: tuple[int, int]
) -> Float[Array, "rows columns inputs outputs"]:
    """Return the cotangent of a window of that height and width, given that of `slide`'s result."""
    return _call("slide_pull", (*size, x.shape[-1], dy.shape[-1]), x, dy)


def _call(kernel: str, shape: tuple[int, ...], *arrays: Array) -> Array:
    result = jax.ShapeDtypeStruct(shape, jnp.float32)
    # Under `vmap` all arrays get an axis in front, over which the kernel loops.
    call = jax.ffi.ffi_call(kernels()[kernel], result, vmap_method="broadcast_all")
    return call(*arrays)
