"""A physics fit: a pendulum's frequency and damping, θ = (log ω, log γ), from its swing."""

import jax
import jax.numpy as jnp

from metadescent import FromFunction


def swing(theta):
    def step(state, _):
        (angle, speed), (omega, gamma) = state, jnp.exp(theta)
        speed = speed - 0.1 * (omega**2 * jnp.sin(angle) + gamma * speed)
        return jnp.array([angle + 0.1 * speed, speed]), angle

    return jax.lax.scan(step, jnp.array([1.0, 0.0]), length=50)[1]


def init(key):
    return 0.1 * jax.random.normal(key, (2,))


def loss(theta, key, measured):
    return jnp.mean((swing(theta) - measured) ** 2)


def pendulum(size: int = 500, seed: int = 0):
    theta_key, noise_key = jax.random.split(jax.random.key(seed))
    true = 0.3 * jax.random.normal(theta_key, (size, 2)) + jnp.array([0.5, -1.0])
    noise = 0.05 * jax.random.normal(noise_key, (size, 50))
    return FromFunction(loss, init, jax.vmap(swing)(true) + noise)
