"""A Gaussian blur of planes, as products with two matrices.

B x = G x G, where G_ij is Σ exp(−(i − j′)² / 2σ²) over j and its mirror images j′, divided by the
sum of its row. G is symmetric, a constant plane stays as it is, and the sum of a plane is kept. The
blur is SciPy's `gaussian_filter` with its default borders.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def blurred(x: Float[Array, "*planes height width"], sigma: float) -> Float[Array, "..."]:
    """Return every plane blurred by a Gaussian with a standard deviation of `sigma` pixels."""
    # As products with matrices, because the second derivatives of a convolution are slow on a CPU.
    down, across = (jnp.asarray(_matrix(n, sigma), x.dtype) for n in x.shape[-2:])
    return jnp.einsum("ij,...jk,kl->...il", down, x, across)


def _matrix(n: int, sigma: float) -> np.ndarray:
    """Return G."""
    # With this σ or a larger one, G is 1/n everywhere, to 30 digits.
    sigma = min(sigma, 4.0 * n)
    i = np.arange(n)
    weights = np.zeros((n, n))
    # Mirror images further away than six standard deviations add nothing.
    mirrors = math.ceil(3 * sigma / max(n, 1) + 0.5)
    for period in range(-2 * n * mirrors, 2 * n * mirrors + 1, 2 * max(n, 1)):
        for apart in (i[:, None] - i + period, i[:, None] + i + 1 + period):
            weights += np.exp(-((apart / sigma) ** 2) / 2)
    return weights / weights.sum(1, keepdims=True)
