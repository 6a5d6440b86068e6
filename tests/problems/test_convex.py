"""Bowls with a rim: by their formula, convex within, flat without, bottoms in the cube."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.convex import Bowl, Convex

KEY = jax.random.key(0)
A = jax.random.uniform(KEY, (6,), minval=-1.0, maxval=1.0)
F = Bowl(A)
RIM = 10.0**0.5
# From the bottom to beyond the rim, on both sides.
OFFSETS = jnp.asarray([0.0, 0.5, -3.1, 3.2, -50.0, 1.0])


def test_value_and_gradient_by_formula_inside_and_outside_the_rim() -> None:
    value, gradient = jax.value_and_grad(F.loss)(A + OFFSETS, KEY)
    d = np.asarray(OFFSETS, np.float64)
    inside = np.abs(d) < RIM
    assert 0 < inside.sum() < len(d)
    np.testing.assert_allclose(value, np.where(inside, d**2, 10.0).mean(), rtol=1e-5)
    np.testing.assert_allclose(gradient, np.where(inside, 2 * d, 0.0) / len(d), rtol=1e-5)


def test_the_bottom_is_zero_and_flat() -> None:
    value, gradient = jax.value_and_grad(F.loss)(A, KEY)
    assert float(value) == 0.0
    assert not gradient.any()


def test_the_rim_is_a_bound() -> None:
    assert float(F.loss(A + 1e4, KEY)) == 10.0


def test_within_it_is_convex_and_across_the_rim_it_is_not() -> None:
    value = jax.jit(jax.vmap(lambda theta: F.loss(theta, KEY)))
    spread = jax.random.uniform(jax.random.key(1), (2, 100, 6), minval=-RIM, maxval=RIM)

    def gaps(x: jax.Array, y: jax.Array) -> np.ndarray:
        """(f(x) + f(y)) / 2 − f((x + y) / 2)."""
        return np.asarray((value(x) + value(y)) / 2 - value((x + y) / 2))

    x, y = A + spread
    # Of a square, exactly ‖x − y‖² / 4n.
    np.testing.assert_allclose(gaps(x, y), ((x - y) ** 2).mean(1) / 4, rtol=1e-3, atol=1e-5)
    assert (gaps(A + jnp.full((1, 6), RIM - 0.5), A + jnp.full((1, 6), RIM + 3.0)) < -0.1).all()


def test_one_gradient_step_reaches_the_bottom() -> None:
    theta = F.init(KEY)
    np.testing.assert_allclose(theta - 3.0 * jax.grad(F.loss)(theta, KEY), A, atol=1e-6)


def test_bottoms_fill_the_cube_and_starts_are_gaussian() -> None:
    f = Convex(dimension=4000).sample(KEY)
    a, theta = np.asarray(f.a), np.asarray(f.init(KEY))
    assert -1.0 <= a.min() < -0.99
    assert 0.99 < a.max() <= 1.0
    assert a.std() == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert (theta.mean(), theta.std()) == pytest.approx((0.0, 1.0), abs=0.05)


@pytest.mark.parametrize("dimension", [0, -3])
def test_a_dimension_of_nothing_is_refused(dimension: int, sentence: Callable) -> None:
    assert sentence(Convex, dimension) == f"dimension is {dimension} and must be at least 1"
