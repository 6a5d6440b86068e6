"""Coordinates at rest: where they stay, what wakes them, and that the others are not touched."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.optimizers import AtRest
from metadescent.registry import make_optimizer, optimizers

KEY = jax.random.key(0)
THETA = {"w": jnp.full((2, 3), 0.5), "b": jnp.asarray(0.3), "none": jnp.zeros((0,))}
STEPS = 5
# The step of the first ∇ of each coordinate; STEPS is never.
FIRST = {
    "w": jnp.asarray([[0, 1, STEPS], [3, STEPS, 0]]),
    "b": jnp.asarray(2),
    "none": jnp.zeros(0),
}


def updates(tx: Any) -> Any:
    """g of every step; ∇ is 0 before the first of each coordinate, and again at the last step."""

    def step(state: Any, t: jax.Array) -> Any:
        awake = jax.tree.map(lambda first: (t >= first) & (t < STEPS - 1), FIRST)
        gradient = jax.tree.map(lambda x, on: jnp.where(on, x / (t + 1), 0.0), THETA, awake)
        g, state = tx.update(gradient, state, THETA)
        return state, g

    return jax.lax.scan(step, tx.init(THETA), jnp.arange(STEPS))[1]


# Their programs take seconds to compile.
LONG = {"pictorial", "tailored"}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in sorted(LONG)]


@pytest.mark.parametrize("name", [*SLOW, *sorted(optimizers().keys() - LONG)])
def test_what_has_had_no_gradient_stays_and_the_rest_is_as_it_was(name: str) -> None:
    m = make_optimizer(name, KEY)
    g, plain = updates(AtRest(m).as_optax()), updates(m.as_optax())
    for leaf, first in FIRST.items():
        awake = np.arange(STEPS).reshape((STEPS,) + (1,) * first.ndim) >= np.asarray(first)
        assert g[leaf].dtype == plain[leaf].dtype
        np.testing.assert_allclose(g[leaf], np.where(awake, plain[leaf], 0.0), rtol=1e-5)
        assert not np.asarray(g[leaf])[~awake].any()


def test_a_batch_is_at_rest_where_each_of_its_optimizees_is() -> None:
    m = AtRest(make_optimizer("lstm-gac(layers=(3,), averaging=1)", KEY))
    theta = jnp.asarray([[1.0, 0.0], [0.0, 2.0]])
    together = m.over_batch()
    g, _ = together.update(theta, together.init(theta), theta)
    for row, gradient in zip(g, theta, strict=True):
        np.testing.assert_allclose(row, m.update(gradient, m.init(gradient))[0], rtol=1e-5)
        np.testing.assert_array_equal(row == 0, gradient == 0)


def test_no_number_wakes_by_itself_and_nan_does() -> None:
    m = AtRest(make_optimizer("lstm(layers=(2,))", KEY))
    gradient = jnp.asarray([0.0, -0.0, jnp.nan, 1e-30])
    g, _ = m.update(gradient, m.init(gradient))
    np.testing.assert_array_equal(g == 0, [True, True, False, False])


def test_it_goes_inside_what_optax_wraps() -> None:
    m = AtRest(make_optimizer("lstm(layers=(2,))", KEY))
    labels = {"w": "learned", "b": "none", "none": "none"}
    tx = optax.partition({"learned": m.as_optax(), "none": optax.set_to_zero()}, labels)
    g = updates(tx)
    np.testing.assert_array_equal(g["w"], updates(m)["w"])
    assert not g["b"].any()


def test_it_keeps_the_threshold_of_its_rule() -> None:
    m = make_optimizer("lstm(layers=(2,), p=5.0)", KEY)
    assert AtRest(m).threshold() == m.threshold() > 0
