"""RNNprop: its features by their formulas, its invariances, and its derivative."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.blockwise import pull_back_blockwise
from metadescent.optimizers.rnnprop import RNNProp

M = RNNProp((3,), beta=0.9, scale=0.7, key=jax.random.key(0))
GRADIENTS = jax.random.normal(jax.random.key(1), (6, 4))


def features(gradients: jax.Array) -> np.ndarray:
    moments, found = (jnp.zeros(gradients.shape[1]),) * 3, []
    for gradient in gradients:
        x, moments = M.normalize(gradient, moments)
        found.append(x)
    return np.asarray(found)


def updates(gradients: jax.Array) -> jax.Array:
    def step(h, gradient):
        g, h = M.update(gradient, h)
        return h, g

    return jax.lax.scan(step, M.init(gradients[0]), gradients)[1]


def test_the_features_are_adams_step_and_the_gradient_by_its_size() -> None:
    g, beta = np.asarray(GRADIENTS, np.float64), 0.9
    for t, x in enumerate(features(GRADIENTS), 1):
        weights = (1 - beta) * beta ** np.arange(t - 1, -1, -1) / (1 - beta**t)
        mean, square = weights @ g[:t], weights @ g[:t] ** 2
        np.testing.assert_allclose(x, [mean / np.sqrt(square), g[t - 1] / np.sqrt(square)], 1e-5)


@pytest.mark.parametrize("factor", [1e-9, 1e-3, 1e6])
def test_the_scale_of_a_coordinate_does_not_matter(factor: float, assert_close: Callable) -> None:
    scales = jnp.asarray([1.0, factor, 3.0, 1.0 / factor])
    # Away from 0, as beside 10⁻⁹ ∇ the ε of 10⁻¹² counts if ∇ is small.
    away = GRADIENTS + 0.3 * jnp.sign(GRADIENTS)
    assert_close(updates(away * scales), updates(away), rtol=1e-4)


def test_the_first_features_are_signs() -> None:
    np.testing.assert_allclose(features(GRADIENTS)[0], [np.sign(GRADIENTS[0])] * 2, rtol=1e-6)


def test_features_and_steps_are_bounded() -> None:
    """x by 1/√(1 − β), whatever surprise comes; g by the weights, as |h| < 1."""
    shock = GRADIENTS.at[5].multiply(1e8)
    assert np.abs(features(shock)).max() <= 1 / np.sqrt(1 - 0.9) + 1e-5
    output = M.lstm.output
    bound = 0.7 * (jnp.abs(output.weight).sum() + jnp.abs(output.bias[0]))
    assert float(jnp.abs(updates(shock)).max()) <= float(bound)


def test_nothing_to_do_is_finite() -> None:
    assert np.isfinite(np.asarray(updates(jnp.zeros((3, 2))))).all()


@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-18])
def test_second_derivatives_have_a_derivative_where_there_is_nothing_to_do(size: float) -> None:
    """∂g/∂∇, which they go through."""
    slope = jax.jit(jax.jacrev(updates))
    assert np.isfinite(slope(size * GRADIENTS[:3])).all()


def test_its_derivative_is_automatic_differentiations(assert_close: Callable) -> None:
    state = jax.tree.map(lambda h: h + 0.1, M.init(GRADIENTS[0]))
    cotangents = jax.random.normal(jax.random.key(2), GRADIENTS.shape)
    reference = pull_back_blockwise(RNNProp.update_coordinates, M, state, GRADIENTS, cotangents)
    ours = M.pull_back(state, GRADIENTS, cotangents)
    assert_close(eqx.filter(ours, eqx.is_array), reference, rtol=1e-4, atol=1e-5)


def test_a_decay_without_end_is_refused(sentence: Callable) -> None:
    assert "beta is 1.0" in sentence(RNNProp, beta=1.0, key=jax.random.key(0))
