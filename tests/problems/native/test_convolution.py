"""The convolution in C++ is XLA's, for sizes that fill its registers and for those that do not."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._ffi import kernels
from metadescent.problems.native import convolution

pytestmark = pytest.mark.skipif(not kernels(), reason="no C++ compiler")

# Images, height, width, channels before and after, height and width of the window.
CASES = [
    (2, 4, 5, 3, 16, 5, 5),
    (3, 8, 8, 16, 16, 5, 5),
    (1, 3, 21, 2, 37, 3, 3),
    (2, 5, 4, 9, 1, 1, 1),
    (2, 2, 2, 1, 33, 7, 3),
]


def drawn(*shape: int, seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def by_xla(x: jax.Array, window: jax.Array) -> jax.Array:
    form = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, window, (1, 1), "SAME", dimension_numbers=form)


@pytest.mark.parametrize("case", CASES)
def test_a_window_slides_as_it_does_in_xla(case: tuple[int, ...], assert_close: Callable) -> None:
    n, height, width, inputs, outputs, *size = case
    x, window = drawn(n, height, width, inputs, seed=0), drawn(*size, inputs, outputs, seed=1)
    actual = jax.jit(convolution.slide)(x, window)
    assert_close(actual, by_xla(x, window), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_windows_cotangent_is_xlas(case: tuple[int, ...], assert_close: Callable) -> None:
    n, height, width, inputs, outputs, *size = case
    x, dy = drawn(n, height, width, inputs, seed=0), drawn(n, height, width, outputs, seed=1)
    zero = jnp.zeros((*size, inputs, outputs), x.dtype)
    expected = jax.vjp(lambda window: by_xla(x, window), zero)[1](dy)[0]
    actual = jax.jit(lambda x, dy: convolution.pull_window(x, dy, tuple(size)))(x, dy)
    assert_close(actual, expected, rtol=1e-5, atol=2e-5)


def test_more_images_than_chunks(assert_close: Callable) -> None:
    x, dy = drawn(21, 2, 2, 1, seed=0), drawn(21, 2, 2, 1, seed=1)
    actual = jax.jit(lambda x, dy: convolution.pull_window(x, dy, (1, 1)))(x, dy)
    assert_close(actual, (x * dy).sum((0, 1, 2)).reshape(1, 1, 1, 1), rtol=1e-5)


def test_none_at_all() -> None:
    x, dy = drawn(0, 4, 4, 2, seed=0), drawn(0, 4, 4, 5, seed=0)
    assert jax.jit(convolution.slide)(x, drawn(3, 3, 2, 5, seed=1)).shape == (0, 4, 4, 5)
    none = jax.jit(lambda x, dy: convolution.pull_window(x, dy, (3, 3)))(x, dy)
    assert not none.any()


def test_a_nan_is_not_lost() -> None:
    x = jnp.zeros((1, 4, 4, 1), jnp.float32).at[0, 1, 1, 0].set(jnp.nan)
    y = jax.jit(convolution.slide)(x, jnp.ones((3, 3, 1, 1), jnp.float32))
    assert np.isnan(y[0, :3, :3, 0]).all()
    assert not np.isnan(y[0, 3]).any()
