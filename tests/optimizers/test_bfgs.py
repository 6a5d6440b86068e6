"""BFGS with a matrix: what the textbook says of it, and L-BFGS that forgets nothing beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.bfgs import learn_from, no_matrix
from metadescent.optimizers.quasi_newton import direction, no_pairs, remember

LEAST = 1e-4
N = 4


def walk(steps: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return places, their gradients, and the Hessian of a convex quadratic function."""
    keys = jax.random.split(jax.random.key(0), 2)
    root = jax.random.normal(keys[0], (N, N))
    hessian = root @ root.T + jnp.eye(N)
    places = jax.random.normal(keys[1], (steps, N))
    return places, places @ hessian, hessian


def test_the_secant_equation_holds_and_h_stays_symmetric_and_positive_definite() -> None:
    places, gradients, _ = walk(5)
    pairs = no_matrix(places[0])
    for theta, gradient in zip(places, gradients, strict=True):
        before, pairs = pairs, learn_from(pairs, theta, gradient, LEAST)
        if before.steps:
            s, y = theta - before.theta, gradient - before.gradient
            np.testing.assert_allclose(pairs.inverse @ y, s, rtol=2e-3, atol=2e-3)
            np.testing.assert_allclose(pairs.inverse, pairs.inverse.T, rtol=1e-4, atol=1e-5)
            assert np.linalg.eigvalsh(np.asarray(pairs.inverse, np.float64)).min() > 0
        else:
            assert not pairs.inverse.any()


def test_of_two_places_it_is_l_bfgs() -> None:
    places, gradients, _ = walk(2)
    dense, limited = no_matrix(places[0]), no_pairs(places[0], 5)
    for theta, gradient in zip(places, gradients, strict=True):
        dense = learn_from(dense, theta, gradient, LEAST)
        limited = remember(limited, theta, gradient, LEAST)
    expected = direction(limited, gradients[-1], least=LEAST)
    np.testing.assert_allclose(dense.inverse @ gradients[-1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("theta", [-1.0, 0.0, np.nan, np.inf])
def test_a_pair_without_curvature_changes_nothing(theta: float) -> None:
    places, gradients, _ = walk(2)
    pairs = no_matrix(places[0])
    for place, gradient in zip(places, gradients, strict=True):
        pairs = learn_from(pairs, place, gradient, LEAST)
    moved = learn_from(pairs, places[1] + theta, gradients[1] - theta, LEAST)
    np.testing.assert_array_equal(moved.inverse, pairs.inverse)
