"""Equations of `assorted`: derivatives by another way, and an epidemic by plain arithmetic."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.small_equations import (
    DAMPING,
    DAYS,
    EVERY,
    SPEED,
    STIFFNESS,
    carried,
    epidemic,
    membrane,
    oscillator,
)
from metadescent.problems.small_networks import Layers, begin, dense

KEY = jax.random.key(0)
POINTS = jax.random.uniform(jax.random.key(1), (5, 2))


def layers(inputs: int) -> Layers:
    return begin(KEY, ((inputs, 8), (8, 8), (8, 1)))


def value(theta: Layers) -> Callable[[jax.Array], jax.Array]:
    """A network as a function of one point."""
    return lambda point: dense(jnp.tanh, theta, point[None])[0, 0]


def test_the_oscillator_is_asked_for_its_equation_and_its_start() -> None:
    theta, t = layers(1), POINTS[:, :1]
    y, zero = value(theta), jnp.zeros(1)
    first, second = jax.grad(y), jax.hessian(y)
    expected = [
        [
            (second(at)[0, 0] + DAMPING * first(at)[0] + STIFFNESS * y(at)) / STIFFNESS,
            y(zero) - 1,
            first(zero)[0],
        ]
        for at in t
    ]
    np.testing.assert_allclose(oscillator(theta, t), expected, rtol=1e-4, atol=1e-5)


def test_what_is_carried_keeps_its_height() -> None:
    theta = layers(2)
    u, slope = value(theta), jax.grad(value(theta))
    expected = [
        [
            slope(at)[1] + SPEED * slope(at)[0],
            u(at.at[1].set(0)) - jnp.sin(2 * jnp.pi * at[0]),
            u(at.at[0].set(0)) - u(at.at[0].set(1)),
        ]
        for at in POINTS
    ]
    np.testing.assert_allclose(carried(theta, POINTS), expected, rtol=1e-4, atol=1e-5)


def test_the_membrane_bends_by_its_load_and_is_held_at_the_border() -> None:
    theta = layers(2)

    def u(point: jax.Array) -> jax.Array:
        return jnp.prod(point * (1 - point)) * value(theta)(point)

    expected = [[jnp.trace(jax.hessian(u)(at)) / 10 + 1] for at in POINTS]
    np.testing.assert_allclose(membrane(theta, POINTS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("log_rates", [(0.0, 0.0, 0.0), (-0.8, 0.5, -1.0)])
def test_in_an_epidemic_whom_the_healthy_lose_comes_to_the_infected(
    log_rates: tuple[float, float, float],
) -> None:
    counted, spread, recovery = np.exp(np.array(log_rates) - [0, 0, 1])
    s, i, gone, expected = 0.98, 0.02, 0.0, []
    for half_day in range(2 * EVERY * DAYS):
        s, before = s * math.exp(-spread * i / 2), s + i
        i = (before - s) * math.exp(-recovery / 2)
        gone += before - s - i
        if half_day % (2 * EVERY) == 2 * EVERY - 1:
            expected.append(counted * i)
    assert s + i + gone == pytest.approx(1)
    theta = [(jnp.zeros((1, 3)), jnp.array(log_rates))]
    np.testing.assert_allclose(epidemic(theta, jnp.array([[0.02]]))[0], expected, rtol=1e-4)
