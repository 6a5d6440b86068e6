"""How fast a learning curve is, early and late: its steps to several losses beside usual ones.

r = exp(Σ_l w_l log(τ_l / t_l) / Σ_l w_l)

A level l is a loss, the step t_l at which another optimizer gets there, and a weight; τ_l is the
step at which the curve is at that loss first, interpolated, and some horizons where it never is.
r is 1 for the other optimizer itself and ½ for twice as fast.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent._levels import Level

NEVER = 4.0
"""Horizons that a level counts for which is never reached, if nothing else is said."""


def relative_time(
    curve: Float[Array | np.ndarray, " steps"], levels: Sequence[Level], never: float = NEVER
) -> Float[Array, ""]:
    """Return r of a learning curve f(θ_1) … f(θ_T).

    Arguments:
        curve: the losses.
        levels: of another optimizer.
        never: horizons that a level counts for which is never reached.

    Example:
        >>> halved = jnp.asarray([4.0, 2.0, 1.0, 0.5])
        >>> round(float(relative_time(halved, [Level(1.0, 6.0)])), 3)
        0.5
    """
    logs = [
        level.weight * jnp.log(step_to(curve, level.loss, never) / level.step) for level in levels
    ]
    return jnp.exp(sum(logs) / sum(level.weight for level in levels))


def step_to(
    curve: Float[Array | np.ndarray, " steps"], loss: float, never: float = NEVER
) -> Float[Array, ""]:
    """Return the step at which a curve is at a loss first, on straight lines between steps."""
    steps = curve.shape[0]
    curve = jnp.asarray(curve)
    # NaN is below nothing.
    below = curve <= loss
    at = jnp.argmax(below)
    after, before = curve[at], curve[jnp.maximum(at - 1, 0)]
    part = jnp.clip((before - loss) / jnp.where(before > after, before - after, 1.0), 0.0, 1.0)
    # What was not finite before says nothing of where between.
    part = jnp.where((at > 0) & jnp.isfinite(part), part, 1.0)
    return jnp.where(below.any(), at + part, never * steps)
