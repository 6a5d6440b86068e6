"""Anytime: features and factor by their formulas, invariances, bounds, and the derivative."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.anytime import Anytime
from metadescent.optimizers.blockwise import pull_back_blockwise

BETAS, TAU, SCALE = (0.5, 0.9, 0.99), 3.0, 0.7
GRADIENTS = jax.random.normal(jax.random.key(1), (8, 4))


def make(tau: float = TAU) -> Anytime:
    return Anytime((3,), betas=BETAS, tau=tau, scale=SCALE, key=jax.random.key(0))


M = make()


@eqx.filter_jit
def features(m: Anytime, gradients: jax.Array) -> jax.Array:
    """Of each step: m_β/√v_β, ∇/√v_first, m_first/√v_last and the clock, by coordinates."""

    def step(moments: Any, gradient: jax.Array) -> tuple[Any, jax.Array]:
        x, moments = m.features(gradient, moments)
        return moments, x

    moments, _ = m.init(gradients[0])
    return jax.lax.scan(step, moments, gradients)[1]


@eqx.filter_jit
def updates(m: Anytime, gradients: jax.Array) -> jax.Array:
    def step(h: Any, gradient: jax.Array) -> tuple[Any, jax.Array]:
        g, h = m.update(gradient, h)
        return h, g

    return jax.lax.scan(step, m.init(gradients[0]), gradients)[1]


def test_the_features_are_means_by_roots_of_means_of_squares_and_a_clock() -> None:
    g = np.asarray(GRADIENTS, np.float64)
    for t, x in enumerate(features(M, GRADIENTS), 1):
        means, roots = [], []
        for beta in BETAS:
            weights = (1 - beta) * beta ** np.arange(t - 1, -1, -1) / (1 - beta**t)
            means.append(weights @ g[:t])
            roots.append(np.sqrt(weights @ g[:t] ** 2))
        expected = [
            *(mean / root for mean, root in zip(means, roots, strict=True)),
            g[t - 1] / roots[0],
            means[0] / roots[-1],
            np.full(4, np.log10(t) / 4),
        ]
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-7, 1e-3, 1e6])
def test_the_scale_of_a_coordinate_does_not_matter(factor: float, assert_close: Callable) -> None:
    scales = jnp.asarray([1.0, factor, -3.0, 1.0 / factor])
    scaled, plain = features(M, GRADIENTS * scales), features(M, GRADIENTS)
    assert_close(scaled, plain.at[:, :-1].multiply(jnp.sign(scales)), rtol=1e-4)
    positive = jnp.abs(scales)
    assert_close(updates(M, GRADIENTS * positive), updates(M, GRADIENTS), rtol=1e-4)


def test_no_signal_is_more_than_all_of_it() -> None:
    """|m_β| ≤ √v_β, whatever surprise comes, and = where all gradients are one."""
    count = len(BETAS)
    shock = GRADIENTS.at[5].multiply(1e8).at[6].multiply(-1e-8)
    assert np.abs(features(M, shock)[:, :count]).max() <= 1 + 1e-5
    same = jnp.tile(jnp.asarray([[2.0, -3.0, 1e-6, 1e6]]), (8, 1))
    signs = np.broadcast_to(np.sign(same[:, None]), (8, count, 4))
    np.testing.assert_allclose(features(M, same)[:, :count], signs, rtol=1e-5)


def test_the_first_features_are_signs_and_the_clock_is_at_zero() -> None:
    x = np.asarray(features(M, GRADIENTS)[0])
    np.testing.assert_allclose(x[:-1], [np.sign(GRADIENTS[0])] * (len(BETAS) + 2), rtol=1e-5)
    np.testing.assert_array_equal(x[-1], 0.0)


def test_the_clock_stands_still_where_meta_training_ended() -> None:
    m = Anytime((3,), betas=BETAS, clock=4.0, key=jax.random.key(0))
    shown = np.asarray(features(m, GRADIENTS))[:, -1, 0]
    np.testing.assert_allclose(shown, np.log10(1 + np.minimum(np.arange(8), 4)) / 4, rtol=1e-6)


def blind(tau: float) -> Anytime:
    """With w = 0 and b = 1: g = scale · (1 + t/τ)^(−1/2), whatever ∇."""
    where = lambda m: (m.lstm.output.weight, m.lstm.output.bias)  # noqa: E731
    return eqx.tree_at(where, make(tau), (jnp.zeros((1, 3)), jnp.ones(1)))


@pytest.mark.parametrize("tau", [1.0, 100.0])
def test_steps_shorten_as_one_by_the_root_of_time(tau: float) -> None:
    t = np.arange(1000.0)
    gradients = jax.random.normal(jax.random.key(2), (1000, 2))
    expected = np.tile(SCALE * (1 + t / tau) ** -0.5, (2, 1)).T
    np.testing.assert_allclose(updates(blind(tau), gradients), expected, rtol=1e-5)


def test_the_factor_is_on_all_of_the_lstms_step(assert_close: Callable) -> None:
    t = jnp.arange(8.0)[:, None]
    eternal = updates(make(tau=1e30), GRADIENTS)
    assert_close(updates(M, GRADIENTS), eternal / jnp.sqrt(1 + t / TAU))


def test_steps_are_bounded() -> None:
    shock = GRADIENTS.at[5].multiply(1e8)
    output = M.lstm.output
    bound = SCALE * sum(jnp.abs(x).sum() for x in jax.tree.leaves(output))
    sizes = jnp.abs(updates(M, shock)).max(1) * jnp.sqrt(1 + jnp.arange(8) / TAU)
    assert (np.asarray(sizes) <= float(bound)).all()


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_nothing_or_all_too_much_to_do_is_finite(size: float) -> None:
    assert np.isfinite(updates(M, size * GRADIENTS)).all()
    assert np.isfinite(features(M, size * GRADIENTS)).all()


@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-18])
def test_second_derivatives_have_a_derivative_where_there_is_nothing_to_do(size: float) -> None:
    """∂g/∂∇, which they go through."""
    slope = jax.jit(jax.jacrev(lambda gradients: updates(M, gradients)))
    assert np.isfinite(slope(size * GRADIENTS[:3])).all()


def test_its_derivative_is_automatic_differentiations(assert_close: Callable) -> None:
    _, state = M.update(jnp.ones(4), M.init(GRADIENTS[0]))
    state = jax.tree.map(lambda h: h + 0.1, state)
    cotangents = jax.random.normal(jax.random.key(2), GRADIENTS.shape)
    reference = pull_back_blockwise(Anytime.update_coordinates, M, state, GRADIENTS, cotangents)
    ours = M.pull_back(state, GRADIENTS, cotangents)
    assert_close(eqx.filter(ours, eqx.is_array), reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"betas": ()}, "betas is empty; give one decay or more, such as (0.9, 0.99)"),
        ({"betas": (0.9, 1.0)}, "a beta is 1.0 and must be from 0 to 0.99999"),
        ({"betas": (-0.1,)}, "a beta is -0.1 and must be from 0 to 0.99999"),
        ({"tau": 0.0}, "tau is 0.0 and must be at least 1e-06"),
        ({"layers": ()}, "layers is empty; give one layer or more, such as (20, 20)"),
        ({"layers": (3, 0)}, "a layer of the lstm is 0 and must be at least 1"),
    ],
    ids=str,
)
def test_options_of_no_sense_are_refused(
    wrong: dict[str, Any], said: str, sentence: Callable
) -> None:
    assert sentence(Anytime, **wrong, key=jax.random.key(0)) == said
