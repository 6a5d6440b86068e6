"""A warm-up: the line by its formula, its derivative, its place behind a rule, what is refused."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.chained import chain
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.warm_up import WarmUp

KEY = jax.random.key(0)
GRADIENTS = jax.random.normal(KEY, (6, 3))


def make(steps: float) -> WarmUp:
    return eqx.tree_at(lambda m: m.p, WarmUp(key=KEY), jnp.log(jnp.asarray([steps])))


def updates(m, gradients):
    def step(h, gradient):
        g, h = m.update(gradient, h)
        return h, g

    return jax.lax.scan(step, m.init(gradients[0]), gradients)[1]


@pytest.mark.parametrize("steps", [0.5, 1.0, 3.7, 100.0])
def test_it_is_a_line_up_to_one(steps: float) -> None:
    factor = np.minimum(np.arange(1, 7) / steps, 1.0)[:, None]
    np.testing.assert_allclose(updates(make(steps), GRADIENTS), factor * GRADIENTS, rtol=1e-5)


def test_it_begins_near_the_steps_that_are_asked_for() -> None:
    assert float(jnp.exp(WarmUp(steps=7.0, key=KEY).p[0])) == pytest.approx(7.0, rel=0.05)


def test_it_holds_back_the_first_steps_of_the_rule_before_it(assert_close: Callable) -> None:
    lstm = LSTM((2,), key=KEY)
    factor = np.minimum(np.arange(1, 7) / 4.0, 1.0)[:, None]
    expected = factor * updates(lstm, GRADIENTS)
    assert_close(updates(chain([lstm, make(4.0)]), GRADIENTS), jnp.asarray(expected))


def test_phi_has_a_derivative_only_from_the_steps_before() -> None:
    """dg_t/dp is −g_t as long as the factor is below 1, and 0 after."""
    slope = jax.jacfwd(lambda p: updates(eqx.tree_at(lambda m: m.p, make(1.0), p), GRADIENTS))
    p = jnp.log(jnp.asarray([3.5]))
    g = updates(make(3.5), GRADIENTS)
    expected = np.where(np.arange(6)[:, None] < 3, -g, 0.0)
    np.testing.assert_allclose(slope(p)[..., 0], expected, rtol=1e-5, atol=1e-7)


def test_a_warm_up_of_no_steps_is_refused(sentence: Callable) -> None:
    said = "steps is 0.0 and must be at least 1e-06"
    assert sentence(WarmUp, steps=0.0, key=KEY) == said
