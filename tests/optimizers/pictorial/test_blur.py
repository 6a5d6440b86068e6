"""A blur: SciPy's, its sums, its symmetry, its limits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from metadescent.optimizers.pictorial.blur import blurred

PLANES = jax.random.normal(jax.random.key(0), (2, 3, 6, 7))


@pytest.mark.parametrize("sigma", [0.3, 1.5, 6.0, 50.0])
@pytest.mark.parametrize("size", [(6, 7), (1, 5), (1, 1)])
def test_it_is_scipys(sigma: float, size: tuple[int, int], assert_close: Callable) -> None:
    planes = PLANES[..., : size[0], : size[1]]
    expected = gaussian_filter(np.asarray(planes, np.float64), (0, 0, sigma, sigma), truncate=20.0)
    assert_close(blurred(planes, sigma), jnp.asarray(expected), rtol=1e-5, atol=1e-6)


def test_blurs_of_blurs_are_blurs(assert_close: Callable) -> None:
    """As far as pixels are finer than the Gaussian."""
    twice = blurred(blurred(PLANES, 1.5), 2.0)
    assert_close(twice, blurred(PLANES, 2.5), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sigma", [1e-6, 0.7, 50.0, 1e30])
def test_it_is_symmetric_and_loses_nothing(sigma: float, assert_close: Callable) -> None:
    a, b = PLANES
    left, right = jnp.vdot(a, blurred(b, sigma)), jnp.vdot(blurred(a, sigma), b)
    assert_close(left, right, rtol=1e-4, atol=1e-5)
    sums = blurred(PLANES, sigma).sum((-2, -1))
    assert_close(sums, PLANES.sum((-2, -1)), rtol=1e-4, atol=1e-5)
    same = jnp.full((1, 4, 9), 3.0)
    assert_close(blurred(same, sigma), same)


def test_none_at_all_and_no_end(assert_close: Callable) -> None:
    assert_close(blurred(PLANES, 1e-6), PLANES)
    means = jnp.broadcast_to(PLANES.mean((-2, -1), keepdims=True), PLANES.shape)
    assert_close(blurred(PLANES, 1e30), means, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 0, 4), (0, 2, 2), (2, 3)])
def test_the_shape_is_kept(shape: tuple[int, ...]) -> None:
    assert blurred(jnp.ones(shape, jnp.bfloat16), 1.5).shape == shape
    assert blurred(jnp.ones(shape, jnp.bfloat16), 1.5).dtype == jnp.bfloat16
