"""Windows of a picture: their formula, that together they are 1, their transpose, their limits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.pictorial.windows import gaussian_windows

PLANES = jax.random.normal(jax.random.key(0), (3, 7, 12))


def test_they_are_gaussians_divided_by_their_sum(assert_close: Callable) -> None:
    """Two of three and a half pixels each along one side, four of three along the other."""

    def along(size: int, centres: list[float]) -> np.ndarray:
        bells = np.exp(-((np.arange(size) - np.asarray(centres)[:, None]) ** 2) / (2 * 3.0**2))
        return bells / bells.sum(0)

    down, across = along(7, [1.25, 4.75]), along(12, [1.0, 4.0, 7.0, 10.0])
    expected = np.einsum("ax,by,cxy->ab", down, across, np.asarray(PLANES))
    assert_close(gaussian_windows(3.0, 7, 12).gather(PLANES), jnp.asarray(expected), rtol=1e-4)


@pytest.mark.parametrize("sigma", [1e-6, 0.3, 2.0, 5.0, 1e30])
def test_together_they_are_one(sigma: float, assert_close: Callable) -> None:
    windows = gaussian_windows(sigma, 7, 12)
    sums = windows.gather(PLANES)
    assert_close(sums.sum(), PLANES.sum(), rtol=1e-4)
    assert_close(windows.spread(jnp.full_like(sums, 3.0)), jnp.full((7, 12), 3.0))


@pytest.mark.parametrize("sigma", [0.3, 2.0, 5.0])
def test_one_is_the_transpose_of_the_other(sigma: float, assert_close: Callable) -> None:
    windows = gaussian_windows(sigma, 7, 12)
    sums = windows.gather(PLANES)
    alpha = jax.random.normal(jax.random.key(1), sums.shape)
    assert_close(jnp.vdot(alpha, sums), jnp.sum(PLANES * windows.spread(alpha)), rtol=1e-4)


def test_the_smallest_are_pixels_and_the_largest_is_all(assert_close: Callable) -> None:
    assert_close(gaussian_windows(1e-6, 7, 12).gather(PLANES), PLANES.sum(0))
    assert_close(gaussian_windows(1e30, 7, 12).gather(PLANES), PLANES.sum()[None, None])


def test_a_picture_in_a_mirror_has_windows_in_a_mirror(assert_close: Callable) -> None:
    windows = gaussian_windows(2.0, 7, 12)
    turned = windows.gather(PLANES[:, ::-1])
    assert_close(turned, windows.gather(PLANES)[::-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 0, 4), (2, 5, 1)])
def test_any_shape_and_dtype(shape: tuple[int, int, int]) -> None:
    windows = gaussian_windows(2.0, *shape[1:])
    sums = windows.gather(jnp.ones(shape, jnp.bfloat16))
    assert sums.dtype == jnp.bfloat16
    assert windows.spread(sums).shape == shape[1:]
