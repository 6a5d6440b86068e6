"""The speed of a learning curve, early and late, by its steps to several losses.

r = exp(Σ_l w_l log(τ_l / t_l) / Σ_l w_l)

A level l is a loss, the step t_l at which another optimizer reaches it, and a weight. τ_l is the
step at which the curve first reaches that loss, interpolated between steps; if it never does, τ_l
is some horizons. r is 1 for the other optimizer itself, and ½ for twice as fast.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent._levels import Level

NEVER = 4.0
"""How many horizons a level that is never reached counts for, by default."""


def relative_time(
    curve: Float[Array | np.ndarray, " steps"], levels: Sequence[Level], never: float = NEVER
) -> Float[Array, ""]:
    """Return r for a learning curve f(θ_1) … f(θ_T).

    Arguments:
        curve: the losses.
        levels: of another optimizer.
        never: how many horizons a level that is never reached counts for.

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
    """Return the step at which a curve first reaches a loss, on straight lines between steps."""
    steps = curve.shape[0]
    curve = jnp.asarray(curve)
    # NaN compares as above every loss.
    below = curve <= loss
    at = jnp.argmax(below)
    after, before = curve[at], curve[jnp.maximum(at - 1, 0)]
    part = jnp.clip((before - loss) / jnp.where(before > after, before - after, 1.0), 0.0, 1.0)
    # If the loss before was not finite, the step itself is taken.
    part = jnp.where((at > 0) & jnp.isfinite(part), part, 1.0)
    return jnp.where(below.any(), at + part, never * steps)
