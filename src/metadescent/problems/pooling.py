"""The maxima and moments of a layer's output z, for pooling and batch normalization, in one pass.

    m[n, i, j, c] = max of z[n, 2i…2i+1, 2j…2j+1, c],     mean and variance of z[·, ·, ·, c]

z is the largest array of the network, and XLA passes over it many times. On a CPU with a compiler
`native/pooling` takes one image at a time, which fits the cache.
"""

import jax
import jax.numpy as jnp

from metadescent import _ffi
from metadescent._errors import UserError
from metadescent.problems.native.pooling import Channels, Maps, pool_maps, unpool_maps

Pooled = tuple[Maps, Channels, Channels]


@jax.custom_vjp
def pool(z: Maps) -> Pooled:
    """Return the maximum of each square of 2 × 2, and every channel's mean and variance.

    It can be differentiated in reverse mode any number of times. A UserError is raised if height or
    width is odd.
    """
    if z.shape[1] % 2 or z.shape[2] % 2:
        raise UserError(
            f"maps of {z.shape[1]} × {z.shape[2]} have no squares of 2 × 2; try 32 × 32"
        )
    if not _ffi.can_run(z):
        return _pool(z)
    return jax.lax.platform_dependent(z, cpu=pool_maps, default=_pool)


def _pool(z: Maps) -> Pooled:
    rows = jnp.maximum(z[:, 0::2], z[:, 1::2])
    m = jnp.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
    return m, z.mean((0, 1, 2)), z.var((0, 1, 2))


@jax.custom_vjp
def _pull(z: Maps, m: Maps, mean: Channels, cotangents: Pooled) -> Maps:
    """Return the cotangent of z, given the results of `pool` and their cotangents."""
    if not _ffi.can_run(z, *cotangents):
        return _unpool(z, m, mean, *cotangents)
    return jax.lax.platform_dependent(z, m, mean, *cotangents, cpu=unpool_maps, default=_unpool)


def _unpool(
    z: Maps, m: Maps, mean: Channels, dm: Maps, dmean: Channels, dvariance: Channels
) -> Maps:
    n, height, width, channels = m.shape
    # A maximum's cotangent goes to its place, or in equal parts to several equal places.
    squares = z.reshape(n, height, 2, width, 2, channels)
    largest = squares == m[:, :, None, :, None]
    share = (dm / largest.sum((2, 4), dtype=dm.dtype))[:, :, None, :, None]
    # ∂mean/∂z = 1/N and ∂variance/∂z = 2 (z − mean)/N, of N places a channel.
    moved = (dmean + 2 * dvariance * (z - mean)) / (z.size // channels)
    return jnp.where(largest, share, 0.0).reshape(z.shape) + moved


def _keep(z: Maps) -> tuple[Pooled, tuple[Maps, Maps, Channels]]:
    pooled = pool(z)
    return pooled, (z, *pooled[:2])


def _pull_again(kept: tuple[Maps, Maps, Channels, Pooled], cotangent: Maps) -> tuple:
    # The second derivative is left to JAX; only the first derivative is worth a kernel.
    def plainly(z: Maps, m: Maps, mean: Channels, cotangents: Pooled) -> Maps:
        return _unpool(z, m, mean, *cotangents)

    return jax.vjp(plainly, *kept)[1](cotangent)


pool.defvjp(_keep, lambda kept, cotangents: (_pull(*kept, cotangents),))
_pull.defvjp(lambda *kept: (_pull(*kept), kept), _pull_again)
