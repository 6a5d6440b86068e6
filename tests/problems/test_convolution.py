"""A convolution, its derivatives of any order, and the form they are computed in."""

import re
from collections.abc import Callable
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent import _ffi
from metadescent.problems.convolution import convolve

KERNELS = [(1, 1), (3, 3), (5, 3)]


def drawn(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def by_hand(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Place by place."""
    n, height, width, _ = x.shape
    down, right, _, channels = kernel.shape
    y = np.zeros((n, height, width, channels))
    for i, j, a, b in product(range(height), range(width), range(down), range(right)):
        row, column = i + a - down // 2, j + b - right // 2
        if 0 <= row < height and 0 <= column < width:
            y[:, i, j] += x[:, row, column] @ kernel[a, b]
    return y


def by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    form = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=form)


def loss(conv: Callable) -> Callable:
    return lambda x, kernel: jnp.sum(jnp.sin(conv(x, kernel)))


@pytest.mark.parametrize("size", KERNELS)
def test_it_is_the_sum_over_a_window(size: tuple[int, int]) -> None:
    x, kernel = drawn(2, 4, 5, 3), drawn(*size, 3, 2, seed=1)
    expected = by_hand(np.asarray(x), np.asarray(kernel))
    np.testing.assert_allclose(convolve(x, kernel), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", KERNELS)
def test_first_and_second_derivatives(size: tuple[int, int], assert_close: Callable) -> None:
    def derivatives(conv: Callable) -> tuple:
        def first(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.grad(loss(conv), (0, 1))(x, kernel)

        def squared(x: jax.Array, kernel: jax.Array) -> jax.Array:
            return sum(jnp.sum(g**2) for g in first(x, kernel))

        with jax.enable_x64(True):
            x, kernel = drawn(2, 4, 5, 3), drawn(*size, 3, 2, seed=1)
            return jax.jit(lambda *at: (first(*at), jax.grad(squared, (0, 1))(*at)))(x, kernel)

    assert_close(derivatives(convolve), derivatives(by_xla), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_under_vmap_it_is_one_by_one(axes: tuple, assert_close: Callable) -> None:
    x, kernel = drawn(3, 2, 4, 4, 3), drawn(3, 3, 3, 3, 2, seed=1)
    if axes[0] is None:
        x = x[0]
    if axes[1] is None:
        kernel = kernel[0]

    def alone(b: int) -> tuple[jax.Array, jax.Array]:
        pair = (x if axes[0] is None else x[b], kernel if axes[1] is None else kernel[b])
        return jax.grad(loss(by_xla), (0, 1))(*pair)

    together = jax.jit(jax.vmap(jax.grad(loss(convolve), (0, 1)), axes))(x, kernel)
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(alone, range(3)))
    assert_close(together, expected, atol=1e-5)


def test_in_a_loop_and_side_by_side_all_are_of_the_fast_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a step takes fifty times as long: see the module's first lines."""
    if jax.default_backend() != "cpu":
        pytest.skip("it is about XLA on a CPU")
    monkeypatch.setattr(_ffi, "can_run", lambda *_: False)

    def total(kernels: jax.Array) -> jax.Array:
        return jax.vmap(lambda w: loss(convolve)(convolve(x, w), w))(kernels).sum()

    def steps(kernels: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 3, lambda _, w: w - jax.grad(total)(w), kernels)

    x = drawn(4, 8, 8, 2)
    text = jax.jit(steps).lower(drawn(2, 3, 3, 2, 2)).compile().as_text()
    forms = re.findall(r" convolution\(.*dim_labels=(\S+?),.*", text)
    assert forms
    assert set(forms) == {"b01f_01io->b01f"}
    assert "feature_group_count" not in text
    assert "rhs_reversal" not in text


@pytest.mark.parametrize("by_native", [False, True])
def test_side_by_side_with_one_kernel_they_are_one_call(
    by_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images under two `vmap`s become images of one call, there and on the way back."""
    x, kernel = drawn(2, 3, 1, 4, 4, 3), drawn(3, 3, 3, 2, seed=1)
    if not by_native:
        monkeypatch.setattr(_ffi, "can_run", lambda *_: False)
    elif not _ffi.can_run(x, kernel):
        pytest.skip("there is no compiler, or no CPU")

    def gradient(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.grad(loss(convolve))(x, kernel)

    shared = jax.jit(jax.vmap(jax.vmap(gradient, (0, None)), (0, None)))
    text = shared.lower(x, kernel).as_text()
    assert "while" not in text
    called = r"stablehlo\.(?:convolution|custom_call @\w*slide).*? : \(tensor<(\w+)x"
    assert sorted(re.findall(called, text)) == ["6x4x4x2", "6x4x4x3"]
    expected = jax.grad(loss(by_xla))(x.reshape(6, 4, 4, 3), kernel).reshape(x.shape)
    np.testing.assert_allclose(shared(x, kernel), expected, rtol=1e-5, atol=1e-5)
