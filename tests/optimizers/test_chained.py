"""A chain is composition, and a pace a factor of time, and both have their derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.chained import Chained, InTurn, chain
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.pace import Pace

STEPS, T = 8, 5.0
GAINS = jnp.array([0.3, -1.0, 1.8])
GRADIENTS = jax.random.normal(jax.random.key(1), (STEPS, 4))


def make_lstm() -> LSTM:
    return LSTM((3,), key=jax.random.key(0))


def make_pace() -> Pace:
    m = Pace(horizon=T, corners=3, key=jax.random.key(0))
    return eqx.tree_at(lambda m: m.p, m, GAINS)


@eqx.filter_jit
def updates(m, gradients):
    def step(h, gradient):
        g, h = m.update(gradient, h, gradient)
        return h, g

    return jax.lax.scan(step, m.init(gradients[0]), gradients)[1]


def test_a_pace_is_the_broken_line_that_gains_p_from_corner_to_corner() -> None:
    p = np.interp(np.arange(STEPS), [0, T / 2, T], np.cumsum(GAINS))
    expected = np.exp(p)[:, None] * np.asarray(GRADIENTS)
    np.testing.assert_allclose(updates(make_pace(), GRADIENTS), expected, rtol=1e-5)


def test_a_linear_pace_begins_as_the_schedule_that_falls_to_nothing() -> None:
    pace = Pace(horizon=T, corners=6, linear=True, key=jax.random.key(0))
    t = jnp.arange(5) * T / 5
    np.testing.assert_allclose(jnp.exp(pace.at(t)), 1 - t / T, rtol=0.1)
    assert float(jnp.exp(pace.at(jnp.asarray(T)))) == pytest.approx(0.2 / np.e, rel=0.2)


def test_a_chain_is_its_rules_one_behind_the_other_as_in_optax() -> None:
    links = make_lstm(), make_pace()
    expected = updates(optax.chain(*(m.as_optax() for m in links)), GRADIENTS)
    np.testing.assert_allclose(updates(Chained(links), GRADIENTS), expected, rtol=1e-6)
    np.testing.assert_allclose(updates(InTurn(links), GRADIENTS), expected, rtol=1e-6)


def test_a_chain_is_coordinatewise_where_its_rules_are() -> None:
    gac = LSTMGAC((2,), averaging=1, key=jax.random.key(0))
    assert isinstance(chain([make_lstm(), make_pace()]), Chained)
    m = chain([make_lstm(), gac])
    assert isinstance(m, InTurn)
    expected = updates(optax.chain(make_lstm().as_optax(), gac.as_optax()), GRADIENTS)
    np.testing.assert_allclose(updates(m, GRADIENTS), expected, rtol=1e-6)


def test_the_order_of_a_chain_matters() -> None:
    there, back = (
        updates(Chained(links), GRADIENTS)
        for links in ((make_lstm(), make_pace()), (make_pace(), make_lstm()))
    )
    assert not np.allclose(there, back)


def test_the_derivative_in_two_phases_is_that_of_the_whole() -> None:
    m = Chained((make_lstm(), make_pace()))
    cotangents = jax.random.normal(jax.random.key(2), GRADIENTS.shape)
    phi, static = eqx.partition(m, eqx.is_inexact_array)

    def total(phi):
        return jnp.vdot(cotangents, updates(eqx.combine(phi, static), GRADIENTS))

    found = m.pull_back(m.init(GRADIENTS[0]), GRADIENTS, cotangents)
    for a, b in zip(
        jax.tree.leaves(eqx.filter(found, eqx.is_inexact_array)),
        jax.tree.leaves(jax.grad(total)(phi)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Chained([]), "the chain is empty; give one rule or more"),
        (lambda: InTurn([]), "the chain is empty; give one rule or more"),
        (
            lambda: Chained([LSTMGAC((4,), averaging=1, key=jax.random.key(0))]),
            "LSTMGAC is not coordinatewise and cannot be in such a chain; "
            "use metadescent.optimizers.chain",
        ),
        (
            lambda: Pace(horizon=0.0, key=jax.random.key(0)),
            "horizon is 0.0 and must be at least 1e-06",
        ),
        (
            lambda: Pace(corners=1, key=jax.random.key(0)),
            "corners is 1 and must be at least 2",
        ),
    ],
    ids=["empty", "none", "communicating", "horizon", "corners"],
)
def test_what_cannot_be_a_chain_or_a_pace_is_refused(sentence, call, says) -> None:
    assert sentence(call) == says
