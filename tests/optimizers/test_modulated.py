"""Momentum whose coordinates an LSTM weighs: momentum without it, the same at any scale with it."""

import jax
import numpy as np
import optax

from metadescent.optimizers.modulated import Modulated

GRADIENTS = jax.random.normal(jax.random.key(1), (6, 5))


def updates(m, gradients: jax.Array) -> jax.Array:
    def step(h, gradient):
        g, h = m.update(gradient, h, gradient)
        return h, g

    return jax.lax.scan(step, m.init(gradients[0]), gradients)[1]


def make(scale: float) -> Modulated:
    return Modulated((3,), clock=20.0, scale=scale, key=jax.random.key(0))


def test_without_a_word_from_the_lstm_it_is_nesterovs_momentum() -> None:
    expected = updates(optax.sgd(0.1, momentum=0.9, nesterov=True), GRADIENTS)
    np.testing.assert_allclose(updates(make(0.0), GRADIENTS), expected, rtol=1e-4)


def test_the_lstm_weighs_and_turns_nothing_round() -> None:
    weighed, plain = updates(make(1.0), GRADIENTS), updates(make(0.0), GRADIENTS)
    weight = np.asarray(weighed / plain)
    assert (weight > 0).all()
    assert weight.std() > 1e-3


def test_updates_are_in_proportion_to_gradients() -> None:
    there = updates(make(1.0), 1e-3 * GRADIENTS)
    np.testing.assert_allclose(1e3 * there, updates(make(1.0), GRADIENTS), rtol=1e-3)
