"""The kernels in C++ compute what the reference in JAX computes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._ffi import kernels
from metadescent.optimizers.blockwise import pull_back_blockwise
from metadescent.optimizers.lstm import LSTM, stack

pytestmark = pytest.mark.skipif(not kernels(), reason="no C++ compiler")

# Sizes below, at and beyond the width of a tile, and of the tiles and chunks that go together.
CASES = [
    ((1,), 10.0, 1),
    ((5,), None, 31),
    ((5,), 10.0, 33),
    ((20, 20), 10.0, 130),
    pytest.param((3, 8, 2), None, 32, marks=pytest.mark.slow),
    ((20, 20), 10.0, 4133),
]
each_case = pytest.mark.parametrize(("layers", "p", "n"), CASES)


def rows(m: LSTM, gradient: jax.Array, state: Any) -> tuple[jax.Array, Any]:
    """The reference in plain JAX."""
    return stack(m, m.features(gradient), state)


def case(layers: tuple[int, ...], p: float | None, n: int, steps: int) -> tuple[Any, ...]:
    """An optimizer with all of φ at work, h, gradients of many magnitudes, and cotangents."""
    keys = jax.random.split(jax.random.key(n), 5)
    m = LSTM(layers, p=p, scale=0.3, key=keys[0])
    m = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(keys[1], x.shape), m)
    state = jax.tree.map(
        lambda x: jax.random.normal(keys[2], x.shape) * jnp.linspace(0.0, 2.0, n),
        m.init(jnp.zeros(n)),
    )
    exponents = jax.random.uniform(keys[3], (steps, n), minval=-12.0, maxval=3.0)
    gradients = jnp.sign(jnp.sin(50 * exponents)) * jnp.exp(exponents)
    cotangents = jax.random.normal(keys[4], (steps, n))
    # The kernels take float32 alone, with JAX's 64 bits on too.
    return jax.tree.map(lambda x: x.astype(jnp.float32), (m, state, gradients, cotangents))


@each_case
def test_an_update_is_the_references(
    layers: tuple[int, ...], p: float | None, n: int, assert_close: Callable
) -> None:
    m, state, gradients, _ = case(layers, p, n, 1)
    fused = jax.jit(lambda m, *xs: m.update_coordinates(*xs))(m, gradients[0], state)
    assert_close(fused, jax.jit(rows)(m, gradients[0], state), rtol=2e-6, atol=2e-6)


@each_case
def test_the_derivative_is_the_references(layers: tuple[int, ...], p: float | None, n: int) -> None:
    m, state, gradients, cotangents = case(layers, p, n, steps=7 if n > 1 else 1)
    fused = jax.jit(LSTM.pull_back)(m, state, gradients, cotangents)
    with jax.enable_x64():
        # Two sums of many terms in float32 may differ; both must be near the true one.
        double = jax.tree.map(
            lambda x: np.asarray(x, np.float64), (m, state, gradients, cotangents)
        )
        exact = jax.jit(lambda *xs: pull_back_blockwise(rows, *xs))(*double)
        exact = jax.tree.map(np.asarray, exact)
    fused = jax.tree.map(np.asarray, fused)
    for ours, truth in zip(jax.tree.leaves(fused), jax.tree.leaves(exact), strict=True):
        assert np.linalg.norm(ours - truth) <= 5e-6 * np.linalg.norm(truth) + 1e-6


def test_it_differentiates_like_the_reference(assert_close: Callable) -> None:
    m, state, gradients, cotangents = case((5,), 10.0, 33, 1)

    def pairing(rule: Callable, *xs: Any) -> jax.Array:
        g, state = rule(*xs)
        return g @ cotangents[0] + sum(jnp.sum(x**2) for x in jax.tree.leaves(state))

    ours, reference = (
        jax.grad(lambda xs, rule=rule: pairing(rule, *xs))((m, gradients[0], state))
        for rule in (LSTM.update_coordinates, rows)
    )
    assert_close(ours, reference, rtol=1e-4, atol=1e-5)


def test_the_shape_of_a_leaf_does_not_matter(assert_same_bits: Callable) -> None:
    m, state, gradients, _ = case((5,), 10.0, 3 * 11 * 2, 1)
    as_leaf = jax.tree.map(lambda x: x.reshape(-1, 3, 11, 2), (gradients, state))
    g, after = jax.jit(m.as_optax().update)(as_leaf[0][0], as_leaf[1])
    expected = jax.jit(lambda *xs: m.update_coordinates(*xs))(gradients[0], state)
    assert_same_bits(
        (g, after), jax.tree.map(lambda y: y.reshape(*y.shape[:-1], 3, 11, 2), expected)
    )


def test_h_is_renewed_in_place() -> None:
    m, state, gradients, _ = case((5,), 10.0, 66, 1)
    g, h = jax.tree.map(lambda x: x.reshape(*x.shape[:-1], 6, 11), (gradients[0], state))
    compiled = jax.jit(m.as_optax().update, donate_argnums=1).lower(g, h).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < sum(x.nbytes for x in jax.tree.leaves(h))


def test_under_vmap_each_has_its_own(assert_close: Callable) -> None:
    m, state, gradients, _ = case((5,), 10.0, 33, 3)
    states = jax.tree.map(lambda x: jnp.stack([x, 2 * x, -x]), state)
    each = jax.vmap(m.update_coordinates)(gradients, states)
    for i in range(3):
        alone = m.update_coordinates(gradients[i], jax.tree.map(lambda x, i=i: x[i], states))
        assert_close(jax.tree.map(lambda x, i=i: x[i], each), alone)


def test_the_result_has_the_same_bits_each_time(assert_same_bits: Callable) -> None:
    m, *given = case((20, 20), 10.0, 4133, 5)
    pull_back = jax.jit(LSTM.pull_back)
    first = pull_back(m, *given)
    for _ in range(5):
        assert_same_bits(pull_back(m, *given), first)


def test_a_coordinate_does_not_see_where_it_stands(assert_same_bits: Callable) -> None:
    m, state, gradients, _ = case((20, 20), 10.0, 130, 1)
    update = jax.jit(lambda m, *xs: m.update_coordinates(*xs))
    whole = update(m, gradients[0], state)
    part = update(m, gradients[0, 57:], jax.tree.map(lambda x: x[:, 57:], state))
    assert_same_bits(part, jax.tree.map(lambda x: x[..., 57:], whole))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_stays_none_and_stays_where_it_is(value: float) -> None:
    m, state, gradients, _ = case((20, 20), None, 130, 1)
    state[0][1].at[0, 77].set(np.nan)
    poisoned = jax.tree.map(lambda x: x.at[:, 77].set(np.nan), state)
    g, after = m.update_coordinates(gradients[0].at[99].set(value), poisoned)
    nan = ~np.isfinite(np.asarray(g))
    assert nan[77]
    assert nan[99] == np.isnan(value)
    assert not np.delete(nan, [77, 99]).any()
    assert all(np.isnan(np.asarray(x)[:, 77]).all() for x in jax.tree.leaves(after))


def test_large_preactivations_saturate(assert_close: Callable) -> None:
    m, state, gradients, _ = case((5,), None, 33, 1)
    loud = gradients[0] * 1e6
    assert_close(m.update_coordinates(loud, state), rows(m, loud, state))


def test_other_dtypes_take_the_reference(assert_same_bits: Callable) -> None:
    m, state, gradients, _ = case((5,), 10.0, 33, 1)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (m, gradients[0], state))
    assert_same_bits(jax.jit(LSTM.update_coordinates)(*half), jax.jit(rows)(*half))
