"""L-BFGS within itself: its matrix, what stays when f or a picture grows, what windows learn."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.pictorial.windowed_newton import windowed_direction
from metadescent.optimizers.pictorial.windows import gaussian_windows
from metadescent.optimizers.quasi_newton import (
    WHOLE,
    CurvaturePairs,
    Windows,
    direction,
    gamma,
    no_pairs,
    remember,
)

SHAPE, STEPS = (3, 6, 7), 5
OPTIONS = {"window": 2.0, "fine": 1.5, "coarse": 0.7}
BLURS = (0.7, 2.0)
THETAS = jax.random.normal(jax.random.key(0), (STEPS, *SHAPE))
GRADIENTS = jnp.tanh(THETAS)


def after(thetas: jax.Array, gradients: jax.Array) -> CurvaturePairs:
    pairs = no_pairs(thetas[0], STEPS)
    for theta, gradient in zip(thetas, gradients, strict=True):
        pairs = remember(pairs, theta, gradient)
    return pairs


PAIRS = after(THETAS, GRADIENTS)


@pytest.fixture(scope="module")
def H() -> jax.Array:  # noqa: N802
    """As a matrix. `test_pictorial` compares it with the formula's."""

    def along(q: jax.Array) -> jax.Array:
        return windowed_direction(PAIRS, q.reshape(SHAPE), BLURS, **OPTIONS).ravel()

    return jax.jit(jax.jacfwd(along))(jnp.zeros(np.prod(SHAPE)))


def test_it_is_symmetric_and_positive_definite(H: jax.Array, assert_close: Callable) -> None:
    assert_close(H, H.T, rtol=1e-3, atol=1e-4)
    assert (jnp.linalg.eigvalsh(H) > 0).all()


def test_it_satisfies_the_secant_equation_of_the_last_step(assert_close: Callable) -> None:
    """Windows are within the whole picture, whose pair is the last to be heeded."""
    found = windowed_direction(PAIRS, PAIRS.y[-1], BLURS, **OPTIONS)
    assert_close(found, PAIRS.s[-1], rtol=1e-3, atol=1e-4)


def test_with_one_window_and_no_factors_but_one_it_is_l_bfgs(assert_close: Callable) -> None:
    """The outer L-BFGS is then the inner one, and a repeated pair changes nothing."""
    pairs = after(THETAS[:2], GRADIENTS[:2])
    d = windowed_direction(pairs, GRADIENTS[0], BLURS, window=1e6, fine=1.0, coarse=0.0)
    assert_close(d, direction(pairs, GRADIENTS[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_a_factor_on_f_is_one_on_theta(factor: float, assert_close: Callable) -> None:
    """H ∇ stays as it is."""
    d = windowed_direction(PAIRS, GRADIENTS[-1], BLURS, **OPTIONS)
    scaled = after(THETAS, factor * GRADIENTS)
    found = windowed_direction(scaled, factor * GRADIENTS[-1], BLURS, **OPTIONS)
    assert_close(found, d, rtol=1e-3, atol=1e-4)


def test_windows_tell_curvatures_apart_that_one_pair_mixes() -> None:
    """f(θ) = ½ Σ c_x θ_x², of which c is 1 to the left and 10 to the right, after two steps."""
    c = jnp.where(jnp.arange(80) < 40, 1.0, 10.0) * jnp.ones((3, 8, 80))
    thetas = jax.random.normal(jax.random.key(1), (2, 3, 8, 80))
    pairs, q = after(thetas, c * thetas), jax.random.normal(jax.random.key(2), (3, 8, 80))

    def error(over: Windows) -> float:
        scale = gamma(pairs, over)
        d = direction(pairs, q, lambda q: scale * q, over)
        return float(jnp.linalg.norm(d - q / c) / jnp.linalg.norm(q / c))

    assert error(gaussian_windows(4.0, 8, 80)) < 0.5 * error(WHOLE)


def test_before_the_first_pair_it_is_nothing() -> None:
    pairs = after(THETAS[:1], GRADIENTS[:1])
    assert not windowed_direction(pairs, GRADIENTS[0], BLURS, **OPTIONS).any()


def test_what_is_remembered_has_no_derivative() -> None:
    """Not even where nothing is, and γ, of which a root is taken, is 0."""

    def moved(s: jax.Array, pairs: CurvaturePairs) -> jax.Array:
        pairs = pairs._replace(s=s)
        return windowed_direction(pairs, GRADIENTS[2], BLURS, **OPTIONS).sum()

    for thetas in (THETAS[:2], jnp.zeros((2, *SHAPE))):
        pairs = after(thetas, GRADIENTS[:2])
        assert not jax.jit(jax.grad(moved))(pairs.s, pairs).any()
