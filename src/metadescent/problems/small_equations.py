"""Small networks that should satisfy equations, and equations whose rates are unknown.

Each function returns values that should be 0, or should be as observed. θ is a list of layers (w,
b), as in `small_networks`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.problems.small_networks import Layers, dense

Points = Float[Array, "batch axes"]
Wrong = Float[Array, "batch conditions"]
DAMPING, STIFFNESS = 0.4, 6.0
"""The coefficients of `oscillator`."""
SPEED = 0.7
"""The speed of the wave in `carried`."""
DAYS, EVERY = 12, 2
"""How often the infected are counted, and how many days lie between."""


def oscillator(theta: Layers, t: Points) -> Wrong:
    """Return how far y(t), a network, is from  y″ + 0.4 y′ + 6 y = 0,  y(0) = 1,  y′(0) = 0."""

    def y(t: Array) -> Array:
        return dense(jnp.tanh, theta, t)

    def slope(t: Array) -> tuple[Array, Array]:
        return jax.jvp(y, (t,), (jnp.ones_like(t),))

    (height, first), (_, second) = jax.jvp(slope, (t,), (jnp.ones_like(t),))
    wrong = (second + DAMPING * first + STIFFNESS * height) / STIFFNESS
    height, first = slope(jnp.zeros_like(t))
    return jnp.concatenate([wrong, height - 1, first], -1)


def carried(theta: Layers, points: Points) -> Wrong:
    """Return how far u(x, t), a network, is from  u_t + 0.7 u_x = 0.

    The conditions are u(x, 0) = sin 2πx and u(0, t) = u(1, t).
    """

    def u(points: Array) -> Array:
        return dense(jnp.tanh, theta, points)

    along = jnp.broadcast_to(jnp.array([SPEED, 1.0], points.dtype), points.shape)
    _, wrong = jax.jvp(u, (points,), (along,))
    x, t = points[:, :1], points[:, 1:]
    first = u(jnp.concatenate([x, 0 * t], -1)) - jnp.sin(2 * jnp.pi * x)
    ends = u(jnp.concatenate([0 * x, t], -1)) - u(jnp.concatenate([0 * x + 1, t], -1))
    return jnp.concatenate([wrong, first, ends], -1)


def membrane(theta: Layers, points: Points) -> Wrong:
    """Return how far u is from  u_xx + u_yy + 10 = 0  with u = x (1 − x) y (1 − y) × a network."""

    def u(points: Array) -> Array:
        x, y = points[:, :1], points[:, 1:]
        return x * (1 - x) * y * (1 - y) * dense(jnp.tanh, theta, points)

    def second(axis: int) -> Array:
        way = jnp.zeros_like(points).at[:, axis].set(1.0)
        return jax.jvp(lambda p: jax.jvp(u, (p,), (way,))[1], (points,), (way,))[1]

    return (second(0) + second(1)) / 10 + 1


def epidemic(theta: Layers, start: Points) -> Float[Array, "batch days"]:
    """Return the shares of the infected as counted, from their share on the first day.

    Twice a day s ↦ s e^(−β i/2), the loss of s is added to i, and then i ↦ i e^(−γ/2). The counted
    share is α i. θ's last vector is (log α, log β, 1 + log γ).
    """
    ((_, p),) = theta
    counted, spread, recovery = jnp.exp(p[0]), jnp.exp(p[1]), jnp.exp(p[2] - 1)

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        s, i = state
        for _half_day in range(2 * EVERY):
            s_next = s * jnp.exp(-spread * i / 2)
            i = (i + s - s_next) * jnp.exp(-recovery / 2)
            s = s_next
        return (s, i), counted * i

    begun = (1 - start[:, 0], start[:, 0])
    _, days = jax.lax.scan(step, begun, length=DAYS)
    return days.T
