"""The slope as a guard: a step that led too far is taken back in part, and f need not be known.

a, b = ⟨∇_{t−1}, s⟩, ⟨∇_t, s⟩                  the slopes where the step s began, and where it ends
too far: b > τ |a|, or ∇_t is not finite
κ = |a| / (|a| + |b|), but from 0.1 to 0.5     where the slope is 0 if it is a line; 0.1 at NaN

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
    """What the slopes say of a step, and the part of it that is kept where it led too far."""

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
    """Return the verdict on a step; where the gradient after it is not finite it is not read."""
    before = dot(gradient_before, step)
    after = jnp.where(is_finite, dot(gradient_after, step), 0.0)
    # Of a choice there is no derivative; that of the quotient is infinite where no step was made.
    a, b = jnp.abs(jax.lax.stop_gradient(before)), jnp.abs(jax.lax.stop_gradient(after))
    secant = jnp.clip(a / jnp.where(a + b > 0, a + b, 1.0), SHORTEST, LONGEST)
    too_far = ~is_finite | (jax.lax.stop_gradient(after) > TAU * a)
    return Verdict(too_far, jnp.where(is_finite, secant, SHORTEST), before, after)
