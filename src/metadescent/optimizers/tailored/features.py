"""The inputs of the leading LSTM: ten numbers about a run that do not depend on the scale of f.

z = (ln |∇|, ln |∇|/|∇_{t−1}|, cos(∇, ∇_{t−1}), ln |d|, t/T, log₁₀(1 + t), cos(∇, s),
     ⟨∇, s⟩/⟨∇_{t−1}, s⟩, whether t = 0, how often s was taken back)

|x| = √(mean x²); each number is clipped, and divided by a usual size.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.bfgs import dot

COUNT = 10
CLOCKS = slice(4, 6)
"""The two that are clocks."""
TIME, AT_START = 4, 8
"""The places of t/T, and of whether t = 0."""
TINY = 1e-24
"""What is added to squares before a root, whose derivative at 0 is infinite."""
FLAT = 1e-15
"""A slope of at most this size counts as this."""


def features_of(
    gradient: Float[Array, " n"],
    last: Float[Array, " n"],
    step: Float[Array, " n"],
    d: Float[Array, " n"],
    slopes: tuple[Float[Array, ""], Float[Array, ""]],
    steps: Float[Array, ""],
    retreats: Float[Array, ""],
    horizon: float,
) -> Float[Array, " features"]:
    """Return z, of ∇, ∇_{t−1}, s, a direction d and the slopes at both ends of s."""
    n, begun = max(1, gradient.size), (steps > 0).astype(gradient.dtype)
    size = rms(gradient)
    last_size = jnp.where(steps > 0, rms(last), size)
    before, after = slopes
    line = after / jnp.where(jnp.abs(before) > FLAT, before, FLAT)
    return jnp.stack(
        [
            jnp.clip(jnp.log(size), -15.0, 15.0) / 5,
            jnp.clip(jnp.log(size / last_size), -5.0, 5.0),
            begun * dot(gradient, last) / (n * size * last_size),
            jnp.clip(jnp.log(rms(d) + 1e-6), -12.0, 5.0) / 4,
            jnp.minimum(steps / horizon, 1.0),
            jnp.log10(1 + jnp.minimum(steps, horizon)) / 2,
            begun * after / (n * size * rms(step)),
            begun * jnp.clip(line, -3.0, 3.0),
            1 - begun,
            retreats / 3,
        ]
    )


def rms(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Return √(mean x²), with a derivative that is finite at 0 too."""
    return jnp.sqrt(dot(x, x) / max(1, x.size) + TINY)


def size_of(x: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the same for x whose squares may be beyond any float; 0 if x is empty."""
    if x.size == 0:
        return jnp.zeros((), x.dtype)
    largest = jnp.max(jnp.abs(x))
    whole = jnp.where(largest > 0, largest, 1.0)
    return jnp.where(largest > 0, whole * rms(x / whole), 0.0)
