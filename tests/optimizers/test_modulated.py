"""Momentum whose coordinates an LSTM weighs: momentum without it, the same at any scale with it."""

from collections.abc import Callable

import jax
import numpy as np
import optax
import pytest

from metadescent.optimizers.modulated import Modulated

GRADIENTS = jax.random.normal(jax.random.key(1), (6, 5))


def updates(m, gradients: jax.Array) -> jax.Array:
    def step(h, gradient):
        g, h = m.update(gradient, h, gradient)
        return h, g

    return jax.lax.scan(step, m.init(gradients[0]), gradients)[1]


def make(scale: float, power: float = 0.0) -> Modulated:
    return Modulated((3,), clock=20.0, scale=scale, power=power, key=jax.random.key(0))


def test_without_a_word_from_the_lstm_it_is_nesterovs_momentum() -> None:
    expected = updates(optax.sgd(0.1, momentum=0.9, nesterov=True), GRADIENTS)
    np.testing.assert_allclose(updates(make(0.0), GRADIENTS), expected, rtol=1e-4)


@pytest.mark.parametrize("power", [0.3, 1.0])
def test_the_power_is_that_of_the_second_moments(power: float) -> None:
    """At 1 the direction is Adam's, up to what takes out the bias of m."""
    adam = updates(optax.scale_by_adam(0.0, 0.99, eps=0.0), GRADIENTS)
    root = np.asarray(GRADIENTS / adam)
    expected = updates(make(0.0), GRADIENTS) / root**power
    np.testing.assert_allclose(updates(make(0.0, power), GRADIENTS), expected, rtol=1e-4)


def test_the_lstm_weighs_and_turns_nothing_round() -> None:
    weighed, plain = updates(make(1.0), GRADIENTS), updates(make(0.0), GRADIENTS)
    weight = np.asarray(weighed / plain)
    assert (weight > 0).all()
    assert weight.std() > 1e-3


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_updates_grow_with_gradients_by_what_the_power_leaves(power: float) -> None:
    there, here = (updates(make(1.0, power), scale * GRADIENTS) for scale in (1e-3, 1.0))
    np.testing.assert_allclose(1e3 ** (1 - power) * there, here, rtol=1e-3)


@pytest.mark.parametrize("power", [-0.1, 1.1])
def test_powers_beyond_adams_are_refused(power: float, sentence: Callable) -> None:
    assert sentence(make, 0.0, power) == f"power is {power} and must be from 0 to 1"
