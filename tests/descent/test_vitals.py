"""Vitals: what they count is what a loop by hand counts, and the curves are those of the unroll."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.curves import learning_curves
from metadescent.descent.episode import draw, start_batch
from metadescent.descent.vitals import checked_curves, hidden, response
from metadescent.optimizers.anytime import Anytime
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.partitioned import Partitioned
from metadescent.problems.from_function import FromFunction
from metadescent.problems.quadratic import Quadratic

fast_checked_curves = eqx.filter_jit(checked_curves)
KEY, PROBLEM = jax.random.key(0), Quadratic(dimension=2)
M = LSTM((3, 2), p=1.0, scale=0.1, key=KEY)
SQUARE = FromFunction(lambda theta, key: theta**2, lambda key: jnp.full((), 3.0))


def test_curves_and_vitals_are_those_of_a_loop_by_hand(assert_close: Callable) -> None:
    curves, vitals = fast_checked_curves(M, PROBLEM, KEY, num_steps=5, num_seeds=3)
    assert_close(curves, learning_curves(M, PROBLEM, KEY, num_steps=5, num_seeds=3))
    fs, keys = draw(PROBLEM, KEY, 3)
    theta, state, _ = start_batch(M, PROBLEM, KEY, 3)
    np.testing.assert_allclose(vitals.start, fs.loss(theta, keys.minibatch).mean(), rtol=1e-6)
    gradients, moves = [], []

    @jax.jit
    def step(theta: jax.Array, state: Any) -> Any:
        gradient = jax.grad(lambda x: fs.loss(x, keys.minibatch).sum())(theta)
        g, state = M.update(gradient, state)
        return gradient, g, state

    for _ in range(5):
        gradient, g, state = step(theta, state)
        theta = theta + g
        gradients.append(np.asarray(gradient))
        moves.append(np.asarray(g))
    gradients, moves = np.stack(gradients), np.stack(moves)
    np.testing.assert_allclose(vitals.gradient, np.sqrt((gradients**2).mean()), rtol=1e-5)
    ratio = np.sqrt((moves**2).mean() / (gradients**2).mean())
    np.testing.assert_allclose(vitals.update_ratio, ratio, rtol=1e-5)
    small = (np.abs(gradients) < np.exp(-1.0)).mean()
    assert 0 < small < 1
    np.testing.assert_allclose(vitals.saturated_inputs, small, rtol=1e-5)
    h = np.concatenate([np.ravel(pair[0]) for pair in state])
    np.testing.assert_allclose(vitals.hidden, np.sqrt((h**2).mean()), rtol=1e-5)
    np.testing.assert_allclose(vitals.saturated_hidden, (np.abs(h) > 0.95).mean(), atol=1e-6)


def test_the_vitals_of_one_step_of_sgd() -> None:
    _, vitals = fast_checked_curves(optax.sgd(0.25), SQUARE, KEY, num_steps=1, num_seeds=2)
    shown = (vitals.start, vitals.gradient, vitals.update_ratio)
    assert [float(x) for x in shown] == [9.0, 6.0, 0.25]


def test_a_rule_that_goes_on_whatever_the_gradient_is_does_not_turn_round_with_it() -> None:
    constant = optax.stateless(lambda g, theta: jax.tree.map(jnp.ones_like, g))
    assert [float(x) for x in response(constant, SQUARE, KEY, 1)] == [0.0, 0.0, 6.0]


def test_what_an_optimizer_does_not_have_is_nan() -> None:
    _, vitals = fast_checked_curves(optax.sgd(0.1), PROBLEM, KEY, num_steps=2, num_seeds=2)
    assert float(vitals.update_ratio) == pytest.approx(0.1)
    for value in (vitals.saturated_inputs, vitals.hidden, vitals.saturated_hidden):
        assert np.isnan(value)


@pytest.mark.parametrize(
    ("m", "shapes"),
    [
        (LSTM((4,), key=KEY), [(4, 2, 3), (4, 5)]),
        (Anytime((4, 2), key=KEY), [(4, 2, 3), (2, 2, 3), (4, 5), (2, 5)]),
        (LSTMGAC((4,), averaging=1, key=KEY), [(4, 11)]),
        (Partitioned([("0", LSTM((2,), key=KEY)), ("*", optax.adam(0.1))]), [(2, 2, 3)]),
    ],
    ids=lambda x: type(x).__name__,
)
def test_the_h_of_every_layer_is_found_and_nothing_else(m: LearnedOptimizer, shapes: list) -> None:
    theta = (jnp.zeros((2, 3)), jnp.zeros(5))
    assert [h.shape for h in hidden(m.init(theta))] == shapes


def test_the_threshold_is_that_of_the_preprocessing() -> None:
    assert LSTM((2,), p=None, key=KEY).threshold() == 0.0
    assert M.threshold() == pytest.approx(np.exp(-1))
    assert LSTMGAC((2,), averaging=1, p=2.0, key=KEY).threshold() == pytest.approx(np.exp(-2))
    assert Partitioned([("a", M), ("*", optax.sgd(1.0))]).threshold() == M.threshold()
    assert Anytime((2,), key=KEY).threshold() == 0.0


def test_a_dead_rule_does_not_respond_and_a_blind_one_only_to_larger_gradients() -> None:
    dead = jax.tree.map(jnp.zeros_like, M)
    biased = jax.tree.map(lambda x: x + 0.1 * (x.shape == (1,)), dead)
    for m in (dead, biased):
        assert [float(x) for x in response(m, PROBLEM, KEY, 4)[:2]] == [0.0, 0.0]
    tiny = response(LSTM((3,), p=None, key=KEY), Quadratic(2), KEY, 4)
    assert tiny.own_size > 0.05
    assert float(response(optax.adam(0.1), PROBLEM, KEY, 4).own_size) == pytest.approx(1, abs=1e-4)
