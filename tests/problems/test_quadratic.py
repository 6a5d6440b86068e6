"""f(θ) = ‖Wθ − y‖², from W and y of the distribution that was asked for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.batch import Batch
from metadescent.problems.quadratic import Quadratic, QuadraticFunction

KEY = jax.random.key(0)
draw = eqx.filter_jit(Batch.sample)


def test_the_loss_is_the_squared_norm() -> None:
    f = Quadratic(dimension=3).sample(KEY)
    theta = jnp.asarray([0.5, -1.0, 2.0])
    residual = np.asarray(f.W) @ np.asarray(theta) - np.asarray(f.y)
    assert float(f.loss(theta, KEY)) == pytest.approx(float(residual @ residual), rel=1e-5)


def test_the_gradient_is_its_own() -> None:
    f = Quadratic(dimension=3).sample(KEY)
    theta = jnp.asarray([0.5, -1.0, 2.0])
    expected = 2 * f.W.T @ (f.W @ theta - f.y)
    np.testing.assert_allclose(jax.grad(f.loss)(theta, KEY), expected, rtol=1e-5)


def test_the_loss_is_zero_where_the_equations_are_solved() -> None:
    f = QuadraticFunction(jnp.asarray([[2.0, 0.0], [0.0, -1.0]]), jnp.asarray([4.0, 3.0]))
    assert float(f.loss(jnp.asarray([2.0, -3.0]), KEY)) == 0.0


def test_there_are_no_minibatches() -> None:
    f = Quadratic(dimension=3).sample(KEY)
    assert f.loss(jnp.ones(3), KEY) == f.loss(jnp.ones(3), jax.random.key(1))


@pytest.mark.parametrize(
    ("entries", "mean", "std"), [("gaussian", 0.0, 1.0), ("uniform", 0.5, 12**-0.5)]
)
def test_entries_are_drawn_from_their_distribution(entries: str, mean: float, std: float) -> None:
    fs = draw(Quadratic(10, entries), KEY, 1000)
    assert fs.own.W.shape == (1000, 10, 10)
    for drawn in (fs.own.W, fs.own.y):
        assert float(drawn.mean()) == pytest.approx(mean, abs=0.05)
        assert float(drawn.std()) == pytest.approx(std, abs=0.05)
    if entries == "uniform":
        assert float(fs.own.W.min()) >= 0
        assert float(fs.own.W.max()) < 1


def test_all_entries_are_independent() -> None:
    fs = draw(Quadratic(dimension=2), KEY, 2000)
    columns = jnp.concatenate([fs.own.W.reshape(2000, 4), fs.own.y], axis=1)
    np.testing.assert_allclose(np.corrcoef(columns, rowvar=False), np.eye(6), atol=0.1)


def test_theta_0_is_small_as_in_the_authors_code() -> None:
    fs = draw(Quadratic(), KEY, 200)
    theta = fs.init(KEY)
    assert theta.shape == (200, 10)
    assert float(theta.std()) == pytest.approx(0.01, rel=0.05)
    assert float(theta.mean()) == pytest.approx(0.0, abs=1e-3)
