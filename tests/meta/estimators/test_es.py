"""ES: exact where L is linear, in the mean where it is not, and right about steps of L."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.meta.estimators.es import ES
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Optimizee, Problem

KEY = jax.random.key(0)
STEPS, PAIRS, SIGMA = 4, 3, 0.25
WEIGHTS = jnp.asarray([1.0, 0.0, 2.0, 0.5])


class Drift(LearnedOptimizer):
    """g = −speed, whatever ∇ is; `other` does nothing."""

    speed: jax.Array
    other: jax.Array

    def init(self, params: Any) -> Any:
        del params
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return jax.tree.map(lambda g: 0 * g - self.speed, updates), state


class Slope(Optimizee):
    """f = θ, from θ = 10."""

    def init(self, key: jax.Array) -> jax.Array:
        return jnp.full((), 10.0)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return theta


class Slopes(Problem):
    def sample(self, key: jax.Array) -> Slope:
        return Slope()


M = Drift(jnp.asarray(1.0), jnp.zeros(2))


def estimate(es: ES, weights: Any = WEIGHTS, key: Any = KEY) -> Any:
    @eqx.filter_jit
    def run(m: Drift) -> Any:
        return es.estimate(m, Slopes(), es.begin(m, Slopes(), key), key, weights)

    return run(M)


def test_of_a_linear_loss_it_is_the_slope_times_the_mean_square_of_what_was_drawn() -> None:
    """L = Σ w_t (10 − t speed): g = dL/dspeed · mean ε²/σ², which one pair has by itself."""
    slope = -float(WEIGHTS @ jnp.arange(1, STEPS + 1))
    found = [
        float(estimate(ES(problems=2, pairs=1, std=SIGMA, leaves="speed"), key=key)[0].speed)
        for key in jax.random.split(KEY, 4)
    ]
    assert all(np.sign(g) == np.sign(slope) for g in found)
    many = float(estimate(ES(problems=1, pairs=4000, std=SIGMA, leaves="speed"))[0].speed)
    assert many == pytest.approx(slope, rel=0.1)


def test_levels_are_times_of_the_mean_curve() -> None:
    """To 5 from 10 takes 5/speed steps: log r has the slope −1/speed, smoothed a little."""
    es = ES(problems=2, pairs=4000, std=0.05, levels="7@2", leaves="speed")
    gradient, carry, losses = estimate(es)
    assert float(gradient.speed) == pytest.approx(-1.0, rel=0.1)
    # What is shown and carried on are those of φ itself.
    np.testing.assert_allclose(losses, np.repeat([[9.0], [8.0], [7.0], [6.0]], 2, 1))
    assert int(carry.step) == STEPS
    np.testing.assert_allclose(carry.theta, [6.0, 6.0])


def test_only_the_leaves_that_are_asked_for_are_perturbed() -> None:
    gradient = estimate(ES(pairs=2, leaves="other"))[0]
    assert gradient.speed == 0.0
    # And what does nothing has no gradient.
    np.testing.assert_array_equal(gradient.other, [0.0, 0.0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"std": 0.0}, "std is 0.0 and must be at least 1e-12"),
        ({"pairs": 0}, "pairs is 0 and must be at least 1"),
        (
            {"levels": "x"},
            "'x' in levels is no loss at a step; try levels such as 0.5@10,0.1@100*2",
        ),
    ],
)
def test_numbers_of_no_sense_are_refused(options: Any, said: str, sentence: Callable) -> None:
    assert sentence(lambda: ES(**options)) == said


def test_a_mean_curve_is_not_shared_out(sentence: Callable) -> None:
    assert sentence(ES(problems=4).part, 2) == (
        "es compares mean curves of all of its problems, which no 2 devices share; try one device, "
        "or the estimator pes"
    )
