"""Whitening of many matrices at once is JAX's of each, whatever their shapes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from metadescent.optimizers.whitening import whiten
from metadescent.torch.whitening import ROWS, whiten_all

# Rows and columns below, at and beyond a block, even and odd, wide, tall and square.
SHAPES = [
    *((1, 1), (1, 7), (7, 1), (5, 5), (32, 31), (33, 33), (70, 33), (64, 100), (97, 3)),
]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[-1]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("rows", [pytest.param(ROWS, marks=pytest.mark.slow), 5])
def test_it_is_that_of_jax(rows: int) -> None:
    """In float64, as a small singular value is uncertain in float32 in both."""
    matrices = [normal(1 + number % 3, *shape) for number, shape in enumerate(SHAPES)]
    with jax.enable_x64(True):
        given = [jnp.asarray(x, jnp.float64) for x in matrices]
        theirs = jax.jit(lambda xs: [jax.vmap(partial(whiten, rows=rows))(x) for x in xs])(given)
    ours = whiten_all([torch.tensor(x).double() for x in matrices], rows)
    for x, y in zip(ours, theirs, strict=True):
        assert y.dtype == np.float64
        np.testing.assert_allclose(x.numpy(), y, rtol=0, atol=1e-9)


def test_zeros_stay_zeros_and_nothing_is_written_into_what_is_given() -> None:
    x = torch.tensor(normal(2, 6, 9))
    x[0, 2], x[0, :, 5], x[1] = 0.0, 0.0, 0.0
    before = x.clone()
    (white,) = whiten_all([x])
    assert not white[0, 2].any()
    assert not white[0, :, 5].any()
    assert not white[1].any()
    assert torch.equal(x, before)


def test_of_no_matrices_there_are_none() -> None:
    assert whiten_all([]) == []
