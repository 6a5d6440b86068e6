"""Sums over a picture in Gaussian windows that overlap and together are 1 at each pixel.

w_i(x) = exp(−(x − c_i)² / 2σ²) / Σ_j exp(−(x − c_j)² / 2σ²)        σ apart: c_1, c_2, …
gather   z → Σ_xy w_i(x) w_j(y) z_xy, of all colours together        a number for each window
spread   α → Σ_ij w_i(x) w_j(y) α_ij, its transpose                  a mean over windows
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent.optimizers.quasi_newton import Windows


def gaussian_windows(sigma: float, height: int, width: int) -> Windows:
    """Return windows with a standard deviation of `sigma` pixels, for colours × height × width."""
    down, across = _matrix(height, sigma), _matrix(width, sigma)

    def gather(z: Float[Array, "colours height width"]) -> Float[Array, "rows columns"]:
        z = z.sum(0)
        return jnp.asarray(down, z.dtype) @ z @ jnp.asarray(across.T, z.dtype)

    def spread(alpha: Float[Array, "rows columns"]) -> Float[Array, "height width"]:
        return jnp.asarray(down.T, alpha.dtype) @ alpha @ jnp.asarray(across, alpha.dtype)

    return Windows(gather, spread)


def _matrix(n: int, sigma: float) -> np.ndarray:
    """Return w_i(x), windows × pixels."""
    # Centres are as far apart as windows are wide, and the outer ones half as far from the border.
    windows = max(1, round(n / max(sigma, 1.0)))
    centres = (np.arange(windows) + 0.5) * n / windows - 0.5
    exponents = -(((np.arange(n) - centres[:, None]) / sigma) ** 2) / 2
    # For any σ the nearest window is then 1, before all are divided by their sum.
    weights = np.exp(exponents - exponents.max(0, initial=-np.inf))
    return weights / weights.sum(0)
