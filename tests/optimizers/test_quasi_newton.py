"""L-BFGS's direction: Optax's, matrices of the formula, Newton's on quadratics, refusals."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.optimizers.quasi_newton import (
    WHOLE,
    CurvaturePairs,
    Windows,
    direction,
    gamma,
    no_pairs,
    remember,
)

MEMORY, STEPS = 3, 7
A = jax.random.normal(jax.random.key(0), (5, 5))
HESSIAN = A @ A.T + 0.5 * jnp.eye(5)
THETAS = jax.random.normal(jax.random.key(1), (STEPS, 5))
GRADIENTS = THETAS @ HESSIAN
LARGE = float(jnp.finfo(THETAS.dtype).max) ** 0.75  # its square is infinite, its inverse's is 0


@jax.jit
def along(thetas: jax.Array, gradients: jax.Array) -> tuple[CurvaturePairs, jax.Array]:
    """The pairs after all steps, and H ∇ after each."""

    def step(
        pairs: CurvaturePairs, at: tuple[jax.Array, jax.Array]
    ) -> tuple[CurvaturePairs, jax.Array]:
        pairs = remember(pairs, *at)
        return pairs, direction(pairs, at[1])

    return jax.lax.scan(step, no_pairs(thetas[0], MEMORY), (thetas, gradients))


def test_it_is_optaxs(assert_close: Callable) -> None:
    """But for the first step, which has no pair."""
    lbfgs = optax.scale_by_lbfgs(MEMORY)
    state, expected = lbfgs.init(THETAS[0]), []
    for theta, gradient in zip(THETAS, GRADIENTS, strict=True):
        each, state = lbfgs.update(gradient, state, theta)
        expected.append(each)
    assert_close(along(THETAS, GRADIENTS)[1], jnp.stack(expected).at[0].set(0.0), rtol=1e-4)


MATRICES = [np.eye(5), np.diag(np.arange(1.0, 6.0)), np.asarray(HESSIAN)]
# Three windows, of which two overlap.
W = jnp.asarray([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.4, 0.0, 0.0], [0.0, 0.0, 0.6, 1.0, 1.0]])
THREE = Windows(lambda x: W @ x, lambda alpha: alpha @ W)


def times(matrix: np.ndarray) -> Callable[[jax.Array], jax.Array]:
    return lambda q: jnp.asarray(matrix, q.dtype) @ q


def formula(pairs: CurvaturePairs, P: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """H as a matrix: Σ_i w_i ρ_i ⟨s, q⟩_i s is S M S q, S diagonal and M = Σ_i ρ_i w_i w_iᵀ."""
    H = P
    for s, y in zip(*(np.asarray(x, np.float64) for x in (pairs.s, pairs.y)), strict=True):
        products, sizes = windows @ (s * y), np.sqrt(windows @ s**2) * np.sqrt(windows @ y**2)
        rho = np.divide(1, products, where=products > 0.01 * sizes, out=np.zeros(len(windows)))
        M = windows.T @ np.diag(rho) @ windows
        V = np.eye(len(s)) - np.diag(y) @ M @ np.diag(s)
        H = V.T @ H @ V + np.diag(s) @ M @ np.diag(s)
    return H


@pytest.mark.parametrize("P", MATRICES)
def test_it_is_the_matrix_of_the_formula(P: np.ndarray, assert_close: Callable) -> None:
    pairs, _ = along(THETAS, GRADIENTS)
    H = formula(pairs, P, np.ones((1, 5)))
    assert_close(direction(pairs, GRADIENTS[-1], times(P)), H @ GRADIENTS[-1], rtol=1e-4)
    # The secant equation of the last step.
    assert_close(direction(pairs, pairs.y[-1], times(P)), pairs.s[-1], rtol=1e-4)


@pytest.mark.parametrize("P", MATRICES)
def test_in_windows_too(P: np.ndarray, assert_close: Callable) -> None:
    """Of which some leave pairs out, and one is within another."""
    pairs, _ = along(THETAS, GRADIENTS)
    products = W @ (pairs.s * pairs.y)[..., None]
    assert (products < 0).any()
    assert (products > 0).any()
    H = formula(pairs, P, np.asarray(W))
    found = jax.jacfwd(lambda q: direction(pairs, q, times(P), THREE))(GRADIENTS[-1])
    assert_close(found, jnp.asarray(H), rtol=1e-3, atol=1e-3)
    assert (np.linalg.eigvalsh(H) > 0).all()
    nested = direction(pairs, GRADIENTS[-1], lambda q: direction(pairs, q, times(P), THREE))
    assert_close(nested, formula(pairs, H, np.ones((1, 5))) @ GRADIENTS[-1], rtol=1e-3)


def test_windows_apart_are_directions_apart(assert_close: Callable) -> None:
    """Of what does not depend on each other."""
    apart = Windows(lambda x: x.reshape(2, -1).sum(1), lambda alpha: jnp.repeat(alpha, 5))
    # The second half is turned around, so that it is not the same as the first.
    theta = jnp.concatenate([THETAS, 2 * THETAS[::-1]], 1)
    g = jnp.concatenate([GRADIENTS, 2 * GRADIENTS[::-1]], 1)
    pairs = no_pairs(theta[0], STEPS)
    one, other = no_pairs(THETAS[0], STEPS), no_pairs(THETAS[0], STEPS)
    for t in range(STEPS):
        pairs = remember(pairs, theta[t], g[t])
        one = remember(one, theta[t, :5], g[t, :5])
        other = remember(other, theta[t, 5:], g[t, 5:])
    expected = [direction(half, x) for half, x in ((one, g[-1, :5]), (other, g[-1, 5:]))]
    gammas = gamma(pairs, apart)
    found = direction(pairs, g[-1], lambda q: gammas * q, apart)
    assert_close(found, jnp.concatenate(expected), rtol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gamma_is_of_all_pairs_that_count(beta: float, assert_close: Callable) -> None:
    pairs, _ = along(THETAS, GRADIENTS)
    s, y = (np.asarray(x, np.float64) for x in (pairs.s, pairs.y))
    weights = beta ** np.arange(MEMORY)[::-1]
    expected = weights @ (s * y).sum(1) / (weights @ (y * y).sum(1))
    assert_close(gamma(pairs, WHOLE, beta), jnp.asarray(expected), rtol=1e-5)
    sy, yy = (s * y) @ W.T, (y * y) @ W.T
    counts = weights[:, None] * (sy > 0.01 * np.sqrt(s**2 @ W.T) * np.sqrt(yy))
    below = (counts * yy).sum(0)
    each = np.divide((counts * sy).sum(0), below, where=below > 0, out=np.zeros(3))
    assert_close(gamma(pairs, THREE, beta), jnp.asarray(each @ W), rtol=1e-5)


def test_without_p_it_is_gamma(assert_close: Callable) -> None:
    pairs, d = along(THETAS, GRADIENTS)
    assert_close(direction(pairs, GRADIENTS[-1], lambda q: gamma(pairs) * q), d[-1])


def test_the_derivative_by_the_gradient_is_h(assert_close: Callable) -> None:
    pairs, d = along(THETAS, GRADIENTS)
    H = jax.jacrev(lambda gradient: direction(pairs, gradient))(GRADIENTS[-1])
    assert_close(H, H.T, rtol=1e-3, atol=1e-4)
    assert (jnp.linalg.eigvalsh(H) > 0).all()
    assert_close(H @ GRADIENTS[-1], d[-1], rtol=1e-4)
    # Through what is remembered there is none.
    moved = jax.jacrev(lambda theta: direction(remember(pairs, theta, GRADIENTS[0]), GRADIENTS[1]))
    assert not moved(THETAS[0]).any()


def test_with_all_directions_known_it_is_newtons(assert_close: Callable) -> None:
    """Of a quadratic, whose steps are conjugate to each other."""
    values, vectors = jnp.linalg.eigh(HESSIAN)
    pairs, theta = no_pairs(jnp.zeros(5), 5), jnp.zeros(5)
    for step in [jnp.zeros(5), *vectors.T]:
        theta = theta + step
        pairs = remember(pairs, theta, HESSIAN @ theta)
    expected = vectors @ (vectors.T @ GRADIENTS[0] / values)
    assert_close(direction(pairs, GRADIENTS[0]), expected, rtol=1e-3, atol=1e-4)


def test_before_the_first_pair_it_is_nothing() -> None:
    pairs = remember(no_pairs(THETAS[0], MEMORY), THETAS[0], GRADIENTS[0])
    assert int(pairs.steps) == 1
    assert not gamma(pairs).any()
    assert not direction(pairs, GRADIENTS[0]).any()


@pytest.mark.parametrize(
    ("s", "y"),
    [
        ([1.0, 0.0], [-1.0, 0.0]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([0.0, 0.0], [1.0, 0.0]),
        ([1.0, 0.0], [0.0, 0.0]),
        ([1.0, 0.0], [np.nan, 0.0]),
        ([1.0, 0.0], [np.inf, 0.0]),
        ([1.0, 0.0], [LARGE, 0.0]),
        ([1 / LARGE, 0.0], [1 / LARGE, 0.0]),
    ],
    ids=str,
)
def test_a_pair_without_positive_curvature_is_not_remembered(s: list, y: list) -> None:
    """Nor one that is not finite, or whose products are not."""
    pairs = remember(no_pairs(jnp.zeros(2), 2), jnp.zeros(2), jnp.zeros(2))
    pairs = remember(pairs, jnp.asarray([1.0, 1.0]), jnp.asarray([2.0, 2.0]))
    after = remember(pairs, jnp.asarray([1.0, 1.0]) + jnp.asarray(s), 2.0 + jnp.asarray(y))
    np.testing.assert_array_equal(after.s, pairs.s)
    np.testing.assert_array_equal(after.y, pairs.y)
    np.testing.assert_allclose(direction(after, jnp.asarray([4.0, 2.0])), [2.0, 1.0], rtol=1e-5)


def test_the_oldest_is_forgotten(assert_close: Callable) -> None:
    late = along(THETAS[-MEMORY - 1 :], GRADIENTS[-MEMORY - 1 :])[1][-1]
    assert_close(along(THETAS, GRADIENTS)[1][-1], late)


def test_the_shape_of_theta_does_not_matter(assert_close: Callable) -> None:
    shaped = along(THETAS.reshape(STEPS, 5, 1), GRADIENTS.reshape(STEPS, 5, 1))[1]
    assert_close(shaped[..., 0], along(THETAS, GRADIENTS)[1])
