"""What pooling and batch normalization need to know of a layer's output z, in one pass over it.

    m[n, i, j, c] = max of z[n, 2i…2i+1, 2j…2j+1, c],     mean and variance of z[·, ·, ·, c]

The derivative of a maximum goes to the place where it is, in equal parts where there are several.
On a CPU with a compiler a kernel of ours does this (`native/pooling`): z is the largest array of
the network, and XLA passes over it many times.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent import _ffi
from metadescent.problems.native import pooling

Maps = Float[Array, "_ _ _ c"]
Channels = Float[Array, " c"]
Pooled = tuple[Maps, Channels, Channels]


@jax.custom_vjp
def pool(z: Maps) -> Pooled:
    """Return the maximum of each square of 2 × 2, and every channel's mean and variance.

    Height and width must be even. It may be differentiated in reverse mode any number of times.

    Example:
        >>> z = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> m, mean, variance = pool(z)
        >>> m[0, :, :, 0].tolist(), mean.tolist(), variance.tolist()
        ([[5.0, 7.0], [13.0, 15.0]], [7.5], [21.25])
    """
    if not _ffi.can_run(z):
        return _pool(z)
    return jax.lax.platform_dependent(z, cpu=pooling.pool, default=_pool)


def _pool(z: Maps) -> Pooled:
    rows = jnp.maximum(z[:, 0::2], z[:, 1::2])
    m = jnp.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
    return m, z.mean((0, 1, 2)), z.var((0, 1, 2))


@jax.custom_vjp
def _pull(z: Maps, m: Maps, mean: Channels, cotangents: Pooled) -> Maps:
    """Return the cotangent of z, given what `pool` returns of it and the cotangents of that."""
    if not _ffi.can_run(z, *cotangents):
        return _unpool(z, m, mean, *cotangents)
    return jax.lax.platform_dependent(z, m, mean, *cotangents, cpu=pooling.unpool, default=_unpool)


def _unpool(
    z: Maps, m: Maps, mean: Channels, dm: Maps, dmean: Channels, dvariance: Channels
) -> Maps:
    n, height, width, channels = m.shape
    squares = z.reshape(n, height, 2, width, 2, channels)
    largest = squares == m[:, :, None, :, None]
    share = (dm / largest.sum((2, 4), dtype=dm.dtype))[:, :, None, :, None]
    moved = (dmean + 2 * dvariance * (z - mean)) / (z.size // channels)
    return jnp.where(largest, share, 0.0).reshape(z.shape) + moved


def _keep(z: Maps) -> tuple[Pooled, tuple[Maps, Maps, Channels]]:
    pooled = pool(z)
    return pooled, (z, *pooled[:2])


def _pull_again(kept: tuple[Maps, Maps, Channels, Pooled], cotangent: Maps) -> tuple:
    def plainly(z: Maps, m: Maps, mean: Channels, cotangents: Pooled) -> Maps:
        return _unpool(z, m, mean, *cotangents)

    return jax.vjp(plainly, *kept)[1](cotangent)


pool.defvjp(_keep, lambda kept, cotangents: (_pull(*kept, cotangents),))
_pull.defvjp(lambda *kept: (_pull(*kept), kept), _pull_again)
