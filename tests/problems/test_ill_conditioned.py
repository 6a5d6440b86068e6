"""Rotated quadratics have the spectrum that was asked for, in every rotation alike."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from metadescent.problems.batch import Batch
from metadescent.problems.ill_conditioned import IllConditioned, rotation

KEY = jax.random.key(0)
draw = eqx.filter_jit(Batch.sample)


def hessian(f: Any) -> np.ndarray:
    return np.asarray(jax.jit(jax.hessian(lambda theta: f.loss(theta, KEY)))(f.minimum))


@pytest.mark.parametrize(("dimension", "condition"), [(2, 10.0), (5, 1e3), (4, 1.0)])
def test_the_hessian_has_that_condition_number(dimension: int, condition: float) -> None:
    H = hessian(IllConditioned(dimension, condition).sample(KEY))
    expected = np.geomspace(1 / condition, 1.0, dimension)
    np.testing.assert_allclose(np.linalg.eigvalsh(H), expected, rtol=1e-3, atol=1e-6)


def test_its_minimum_is_zero_and_one_newton_step_away() -> None:
    f = IllConditioned(4, 100.0).sample(KEY)
    theta = f.init(KEY)
    value, gradient = jax.value_and_grad(f.loss)(theta, KEY)
    assert float(f.loss(f.minimum, KEY)) == 0.0
    d = np.asarray(theta - f.minimum)
    assert float(value) == pytest.approx(0.5 * d @ hessian(f) @ d, rel=1e-4)
    newton = theta - np.linalg.solve(hessian(f), np.asarray(gradient))
    np.testing.assert_allclose(newton, f.minimum, atol=1e-3)


def test_its_coordinates_are_correlated() -> None:
    H = hessian(IllConditioned(4, 100.0).sample(KEY))
    assert np.abs(H - np.diag(np.diagonal(H))).max() > 0.1 * np.abs(H).max()


def test_log_uniform_eigenvalues_fill_their_range() -> None:
    fs = draw(IllConditioned(10, 1e4, "log-uniform"), KEY, 300)
    logs = -np.log10(np.asarray(fs.own.eigenvalues)) / 4
    assert 0.0 <= logs.min() < 0.01
    assert 0.99 < logs.max() <= 1.0 + 1e-6
    assert (logs.mean(), logs.std()) == pytest.approx((0.5, 12**-0.5), abs=0.02)


def test_every_rotation_is_as_likely() -> None:
    """Its entries have mean 0 and variance 1/n."""
    Qs = np.asarray(jax.jit(jax.vmap(lambda key: rotation(key, 3)))(jax.random.split(KEY, 3000)))
    np.testing.assert_allclose(Qs @ Qs.swapaxes(1, 2), np.tile(np.eye(3), (3000, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(Qs.mean(0), np.zeros((3, 3)), atol=0.05)
    np.testing.assert_allclose((Qs**2).mean(0), np.full((3, 3), 1 / 3), atol=0.02)
    # Half of them are reflections, which without the signs of R would not be so.
    assert np.linalg.det(Qs).mean() == pytest.approx(0.0, abs=0.1)


def test_minima_and_starts_are_gaussian() -> None:
    fs = draw(IllConditioned(10), KEY, 300)
    for drawn in (fs.own.minimum, fs.init(KEY)):
        assert (float(drawn.mean()), float(drawn.std())) == pytest.approx((0.0, 1.0), abs=0.05)


def test_what_means_nothing_is_refused(sentence: Callable) -> None:
    assert sentence(IllConditioned, 1) == "dimension is 1 and must be at least 2"
    assert sentence(IllConditioned, 2, 0.5) == "condition is 0.5 and must be from 1 to 1e+12"
    assert sentence(IllConditioned, 2, 10.0, "flat") == (
        "there is no spectrum 'flat'; known are geometric and log-uniform"
    )
