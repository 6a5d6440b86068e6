"""The direction of L-BFGS for pictures, with L-BFGS in windows as initial inverse Hessian.

H   = L-BFGS over the whole picture, which begins with H_w
H_w = L-BFGS in Gaussian windows (`windows`), which begins with H_0
H_0 = Γ (fine I + coarse Σ_B B²) Γ                                  B: a blur of each of the widths
Γ²  = γ of each window, where a pair has half the weight of the next one

L-BFGS takes one curvature from a pair, along the whole picture. But corners have little to do with
each other, so the same pair has a curvature of its own in each window. In directions that no pair
covers L-BFGS has γ, which is too small where f is hardly curved. Two factors multiply it: one for
all changes, and one for those that the blurs keep.

Source: ours; L-BFGS is that of `quasi_newton`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.pictorial.blur import blurred
from metadescent.optimizers.pictorial.windows import gaussian_windows
from metadescent.optimizers.quasi_newton import CurvaturePairs, direction, gamma

FADE = 0.5  # the weight of a pair in γ relative to the next pair's


def windowed_direction(
    pairs: CurvaturePairs,
    gradient: Float[Array, "3 height width"],
    blurs: Sequence[float],
    *,
    window: float,
    fine: float,
    coarse: float,
) -> Float[Array, "3 height width"]:
    """Return H ∇, which is 0 as long as there is no pair; widths are standard deviations."""
    # Pairs are constant in the meta-gradient; besides, a root of 0 has no derivative.
    pairs = jax.lax.stop_gradient(pairs)
    windows = gaussian_windows(window, *gradient.shape[1:])
    root = jnp.sqrt(gamma(pairs, windows, FADE))

    def H_0(q: Array) -> Array:  # noqa: N802
        q = root * q
        spots = sum(blurred(blurred(q, width), width) for width in blurs)
        return root * (fine * q + coarse * spots)

    return direction(pairs, gradient, lambda q: direction(pairs, q, H_0, windows))
