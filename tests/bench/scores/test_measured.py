"""Losses on the way are those of the closed form, at θ₀ and at each point."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.bench.measured import measure
from metadescent.bench.task import Split
from metadescent.descent.curves import learning_curves

RATE = 0.1


def test_gradient_descent_on_a_parabola_is_as_it_is_known(split: Split, key: jax.Array) -> None:
    measured = measure(optax.sgd(RATE), split, key, num_steps=12, num_seeds=4, points=4)
    begin = measured.train[:, :1]
    # Each step takes the same share of the way: θ_t − a = (1 − RATE)^t (θ_0 − a).
    shares = (1 - RATE) ** (2 * np.array([0, 3, 6, 9, 12]))
    np.testing.assert_allclose(measured.train, begin * shares, rtol=1e-5)
    np.testing.assert_allclose(measured.held_out, 2 * measured.train, rtol=1e-6)
    assert set(begin.ravel().round(3)) <= {0.5, 4.5}
    assert measured.seconds > 0


def test_minibatches_are_those_of_learning_curves(split: Split, key: jax.Array) -> None:
    measured = measure(optax.adam(RATE), split, key, num_steps=6, num_seeds=3, points=3)
    curves = learning_curves(optax.adam(RATE), split.train, key, num_steps=6, num_seeds=3)
    np.testing.assert_allclose(measured.train[:, 1:], curves[:, 1::2], rtol=1e-6)


def test_losses_are_taken_where_a_rule_says(split: Split, key: jax.Array) -> None:
    def at_the_start(state: optax.OptState, theta: jax.Array) -> jax.Array:
        return jnp.zeros_like(theta)

    sizes = {"num_steps": 6, "num_seeds": 3, "points": 3}
    measured = measure(optax.sgd(RATE), split, key, judged=at_the_start, **sizes)
    np.testing.assert_allclose(measured.train, measured.train[:, :1] * np.ones(4), rtol=1e-6)


@pytest.mark.parametrize("steps", [0, 7])
def test_steps_that_are_no_multiple_are_refused(
    steps: int, split: Split, key: jax.Array, sentence
) -> None:
    said = sentence(measure, optax.sgd(RATE), split, key, num_steps=steps, num_seeds=1, points=3)
    assert said == f"{steps} steps are not a multiple of 3 points; try 3"
