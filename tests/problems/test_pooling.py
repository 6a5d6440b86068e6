"""Pooling and moments, their derivatives of any order, and the kernel that computes them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent import _ffi
from metadescent._ffi import kernels
from metadescent.problems.pooling import pool


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def plainly(z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The same without derivatives of its own."""
    n, height, width, channels = z.shape
    squares = z.reshape(n, height // 2, 2, width // 2, 2, channels)
    return squares.max((2, 4)), z.mean((0, 1, 2)), z.var((0, 1, 2))


def loss(pooled: Callable) -> Callable:
    def of(z: jax.Array) -> jax.Array:
        m, mean, variance = pooled(z)
        return jnp.sum(jnp.sin(m * jnp.exp(mean)) / (1 + variance))

    return of


def test_first_and_second_derivatives(assert_close: Callable) -> None:
    def derivatives(pooled: Callable) -> tuple[jax.Array, jax.Array]:
        first = jax.grad(loss(pooled))
        with jax.enable_x64(True):
            z = drawn(2, 4, 6, 3)
            return jax.jit(lambda z: (first(z), jax.grad(lambda z: (first(z) ** 2).sum())(z)))(z)

    assert_close(derivatives(pool), derivatives(plainly), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (3, 2, 2, 16), (1, 4, 4, 37), (20, 2, 4, 1)])
def test_the_kernel_computes_what_jax_does(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, assert_close: Callable
) -> None:
    if not kernels():
        pytest.skip("no C++ compiler")
    # Thirds make squares with two or more equal maxima.
    z = (jnp.round(3 * drawn(*shape)) / 3).astype(jnp.float32)

    def both(z: jax.Array) -> tuple:
        return pool(z), jax.grad(loss(pool))(z)

    actual = jax.jit(both)(z)
    with monkeypatch.context() as turned_off:
        turned_off.setattr(_ffi, "can_run", lambda *_: False)
        expected = jax.jit(lambda z: both(z))(z)
    assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_second_derivatives_go_through_the_kernel_too(assert_close: Callable) -> None:
    def second(pooled: Callable) -> jax.Array:
        first = jax.grad(loss(pooled))
        z = drawn(2, 4, 4, 3).astype(jnp.float32)
        return jax.jit(jax.grad(lambda z: (first(z) ** 2).sum()))(z)

    assert_close(second(pool), second(plainly), rtol=1e-4, atol=1e-6)


def test_a_variance_is_not_lost_in_a_large_mean() -> None:
    z = drawn(8, 4, 4, 1).astype(jnp.float32)
    far = jax.jit(pool)(z + 1000.0)[2]
    np.testing.assert_allclose(far, jnp.var(z), rtol=1e-3)


def test_equal_maxima_share_alike() -> None:
    z = jnp.asarray([[1.0, 1.0], [0.0, 1.0]]).reshape(1, 2, 2, 1)
    slope = jax.grad(lambda z: pool(z)[0].sum())(z)
    np.testing.assert_allclose(slope[0, :, :, 0], [[1 / 3, 1 / 3], [0, 1 / 3]], rtol=1e-6)


def test_under_vmap_it_is_one_by_one(assert_close: Callable) -> None:
    z = drawn(3, 2, 4, 4, 2).astype(jnp.float32)
    alone = jax.jit(jax.grad(loss(plainly)))
    expected = jnp.stack([alone(image) for image in z])
    assert_close(jax.jit(jax.vmap(jax.grad(loss(pool))))(z), expected, rtol=1e-4, atol=1e-6)


def test_a_nan_is_not_lost() -> None:
    z = jnp.zeros((1, 2, 2, 1)).at[0, 1, 0, 0].set(jnp.nan)
    m, mean, variance = jax.jit(pool)(z)
    assert np.isnan([m[0, 0, 0, 0], mean[0], variance[0]]).all()
