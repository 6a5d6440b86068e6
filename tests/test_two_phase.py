"""Two phases give the meta-gradient of one; a sample of coordinates gives it on average."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent import two_phase
from metadescent.optimizers.lstm import LSTM
from metadescent.problem import Batch
from metadescent.problems.quadratic import Quadratic
from metadescent.two_phase import meta_gradient, record
from metadescent.unroll import start, unroll

KEY = jax.random.key(3)
STEPS = 4
M = LSTM((3,), key=jax.random.key(0))
FS = Batch.sample(Quadratic(dimension=5), jax.random.key(1), 2)
BEGIN = start(M, FS, KEY)
WEIGHTS = jnp.asarray([1.0, 0.0, 0.5, 2.0])


@pytest.fixture(scope="module")
def recorded():
    return eqx.filter_jit(record)(M, FS, BEGIN, KEY, num_steps=STEPS)


@pytest.fixture(scope="module")
def one_phase():
    """The meta-gradient by automatic differentiation of the unroll."""

    def loss(m: LSTM) -> jax.Array:
        return (WEIGHTS @ unroll(m, FS, BEGIN, KEY, num_steps=STEPS)[1]).sum()

    return eqx.filter_jit(eqx.filter_grad(loss))(M)


def test_phase_one_is_the_unroll(recorded, assert_close: Callable) -> None:
    end, losses = unroll(M, FS, BEGIN, KEY, num_steps=STEPS)
    assert_close(recorded[:2], (end, losses))


def test_phase_one_keeps_the_gradient_at_every_theta(recorded, assert_close: Callable) -> None:
    gradients = recorded[2]
    assert gradients.shape == (STEPS + 1, 2, 5)
    for theta, gradient in ((BEGIN.theta, gradients[0]), (recorded[0].theta, gradients[-1])):
        assert_close(gradient, jax.grad(lambda theta: FS.loss(theta, KEY).sum())(theta))


@pytest.mark.parametrize("block", [1, 3, 4, 10, 4096])
def test_phase_two_is_automatic_differentiation_whatever_the_block(
    block: int, recorded, one_phase, monkeypatch: pytest.MonkeyPatch, assert_close: Callable
) -> None:
    monkeypatch.setattr(two_phase, "BLOCK", block)
    gradient = meta_gradient(M, BEGIN.state, recorded[2], WEIGHTS)
    assert_close(gradient, one_phase, rtol=1e-4, atol=1e-5)


def test_a_sample_of_all_coordinates_is_exact(recorded, one_phase, assert_close: Callable) -> None:
    gradient = meta_gradient(
        M, BEGIN.state, recorded[2], WEIGHTS, num_coordinates=10, key=jax.random.key(0)
    )
    assert_close(gradient, one_phase, rtol=1e-4, atol=1e-5)


def test_a_sample_of_coordinates_is_unbiased(recorded, one_phase) -> None:
    @jax.jit
    @jax.vmap
    def estimates(key: jax.Array) -> jax.Array:
        gradient = meta_gradient(M, BEGIN.state, recorded[2], WEIGHTS, num_coordinates=3, key=key)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)])

    each = np.asarray(estimates(jax.random.split(jax.random.key(4), 400)), np.float64)
    expected = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(one_phase)])
    error = each.std(0) / np.sqrt(len(each))
    assert (error > 0).any()
    # Of 61 sums of 400 draws none is five standard errors off, and all together are close.
    assert (np.abs(each.mean(0) - expected) <= 5 * error + 1e-5).all()
    assert np.linalg.norm(each.mean(0) - expected) < 0.1 * np.linalg.norm(expected)
