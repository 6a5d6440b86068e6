"""Whitening: which directions it makes alike, and what it leaves as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.whitening import ROWS, whiten

KEY = jax.random.key(0)
WIDE = jax.random.normal(KEY, (6, 11))


def orthogonal(key: jax.Array, n: int) -> jax.Array:
    return jnp.linalg.qr(jax.random.normal(key, (n, n)))[0]


@pytest.mark.parametrize("shape", [(6, 11), (11, 6), (40, 90), (3, 3, 2, 5), (1, 4)])
def test_singular_values_of_a_block_are_about_1(shape: tuple[int, ...]) -> None:
    white = whiten(jax.random.normal(KEY, shape)).reshape(-1, shape[-1])
    rows = white if white.shape[0] <= white.shape[1] else white.T
    half = -(-len(rows) // ROWS)
    height = -(-len(rows) // half)
    for block in (rows[k : k + height] for k in range(0, len(rows), height)):
        values = np.linalg.svd(block, compute_uv=False)
        assert values.max() < 1.25
        assert values.min() > 0.6


def test_singular_vectors_are_those_of_the_gradient() -> None:
    u, _, vt = np.linalg.svd(WIDE, full_matrices=False)
    middle = u.T @ np.asarray(whiten(WIDE)) @ vt.T
    np.testing.assert_allclose(middle, np.diag(np.diag(middle)), atol=2e-5)


def test_rotations_of_the_rows_or_the_columns_rotate_the_result() -> None:
    p, q = orthogonal(jax.random.key(1), 6), orthogonal(jax.random.key(2), 11)
    np.testing.assert_allclose(whiten(p @ WIDE @ q), p @ whiten(WIDE) @ q, atol=2e-4)


def test_the_transpose_is_whitened_to_the_transpose() -> None:
    np.testing.assert_allclose(whiten(WIDE.T), whiten(WIDE).T, atol=1e-6)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e12])
def test_the_size_of_a_gradient_does_not_matter(size: float) -> None:
    np.testing.assert_allclose(whiten(size * WIDE), whiten(WIDE), atol=1e-4)


def test_blocks_of_rows_do_not_see_each_other() -> None:
    x = jax.random.normal(KEY, (2 * ROWS, 3 * ROWS))
    apart = jnp.concatenate([whiten(x[:ROWS]), whiten(x[ROWS:])])
    np.testing.assert_allclose(whiten(x), apart, atol=1e-6)


def test_rows_and_columns_of_zeros_stay_zeros() -> None:
    white = np.asarray(whiten(WIDE.at[2].set(0.0).at[:, 5].set(0.0)))
    assert not white[2].any()
    assert not white[:, 5].any()
    assert not np.asarray(whiten(jnp.zeros((4, 5)))).any()


@pytest.mark.parametrize("shape", [(), (5,), (0,), (0, 3), (1, 1)])
def test_shapes_without_two_axes_and_without_coordinates_pass(shape: tuple[int, ...]) -> None:
    white = whiten(jnp.ones(shape))
    assert white.shape == shape
    # A row alone keeps its direction.
    assert np.ptp(np.asarray(white)) == 0 if white.size else True
