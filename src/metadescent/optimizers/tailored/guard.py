"""A guard by slopes: a step that led too far is taken back in part, and f need not be known.

a, b = ⟨∇_{t−1}, s⟩, ⟨∇_t, s⟩                  the slopes where the step s began, and where it ends
too far: b > τ |a|, or ∇_t is not finite
κ = |a| / (|a| + |b|), kept within 0.1 … 0.5   where the slope is 0 if it is linear; 0.1 at NaN

Source: the upper half of the strong Wolfe conditions, with τ for c₂, and the secant method; Nocedal
and Wright (2006), "Numerical optimization", section 3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from metadescent.optimizers.bfgs import dot

TAU = 0.9
SHORTEST, LONGEST = 0.1, 0.5


class Verdict(NamedTuple):
    """Whether a step led too far, the part of it that is then kept, and the slopes."""

    too_far: Bool[Array, ""]
    kept: Float[Array, ""]
    before: Float[Array, ""]
    after: Float[Array, ""]


def judge_step(
    step: Float[Array, " n"],
    gradient_before: Float[Array, " n"],
    gradient_after: Float[Array, " n"],
    is_finite: Bool[Array, ""],
) -> Verdict:
    """Return the verdict on a step; the gradient after it is not read if it is not finite."""
    before = dot(gradient_before, step)
    after = jnp.where(is_finite, dot(gradient_after, step), 0.0)
    # A choice has no derivative, and that of the quotient is infinite if no step was made.
    a, b = jnp.abs(jax.lax.stop_gradient(before)), jnp.abs(jax.lax.stop_gradient(after))
    secant = jnp.clip(a / jnp.where(a + b > 0, a + b, 1.0), SHORTEST, LONGEST)
    too_far = ~is_finite | (jax.lax.stop_gradient(after) > TAU * a)
    return Verdict(too_far, jnp.where(is_finite, secant, SHORTEST), before, after)
