"""The direction of BFGS: ∇ times an inverse Hessian that is estimated from all steps so far.

H ← (1 − ρ s yᵀ) H (1 − ρ y sᵀ) + ρ s sᵀ,     ρ = 1/⟨s, y⟩
H_0 = γ = ⟨s, y⟩/⟨y, y⟩ of the first pair s, y = θ_t − θ_{t−1}, ∇_t − ∇_{t−1}

This is for few coordinates: H is a matrix, and a step costs a few products with it. H ∇ is 0 as
long as there is no pair. `quasi_newton` is for many coordinates.

Source: Nocedal and Wright (2006), "Numerical optimization", algorithm 6.1 and equation 6.20.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class CurvatureMatrix(NamedTuple):
    """The memory of the run: the last θ and ∇, and H."""

    theta: Float[Array, " n"]
    gradient: Float[Array, " n"]
    inverse: Float[Array, "n n"]  # 0 where there is no pair yet
    steps: Int[Array, ""]  # how many θ have been seen


def dot(a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, ""]:
    """Return ⟨a, b⟩ as a sum: for few numbers it is as fast, and it compiles much faster."""
    return jnp.sum(a * b)


def no_matrix(theta: Float[Array, " n"]) -> CurvatureMatrix:
    """Return a memory without pairs, for θ of this shape and dtype."""
    zeros, none = jnp.zeros_like(theta), jnp.zeros((theta.size, theta.size), theta.dtype)
    return CurvatureMatrix(zeros, zeros, none, jnp.zeros((), jnp.int32))


def learn_from(
    before: CurvatureMatrix,
    theta: Float[Array, " n"],
    gradient: Float[Array, " n"],
    least: float,
) -> CurvatureMatrix:
    """Update H by the pair of the last step, if ⟨s, y⟩ is more than `least` ‖s‖ ‖y‖."""
    # The pair is held constant in the meta-gradient, as in `quasi_newton`.
    theta, gradient = jax.lax.stop_gradient((theta, gradient))
    s, y, H = theta - before.theta, gradient - before.gradient, before.inverse
    sy, yy = dot(s, y), dot(y, y)
    # The comparison is False if a vector or a product is not finite.
    is_sound = sy > least * jnp.sqrt(dot(s, s)) * jnp.sqrt(yy)
    is_sound = is_sound & (before.steps > 0)
    rho = 1 / jnp.where(is_sound, sy, 1.0)
    gamma = sy / jnp.where(is_sound, yy, 1.0)
    H = jnp.where(jnp.any(H != 0), H, gamma * jnp.eye(len(s), dtype=s.dtype))
    Hy = jnp.sum(H * y, 1)
    # The product of the three matrices is written out, for symmetric H.
    change = rho * ((1 + rho * dot(y, Hy)) * jnp.outer(s, s) - jnp.outer(s, Hy) - jnp.outer(Hy, s))
    is_sound = is_sound & jnp.isfinite(change).all()
    return CurvatureMatrix(
        theta, gradient, jnp.where(is_sound, H + change, before.inverse), before.steps + 1
    )
