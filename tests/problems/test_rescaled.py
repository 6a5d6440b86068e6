"""A rescaled problem is the same problem in other coordinates."""

from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

from metadescent.descent.unrolling import start, unroll
from metadescent.problems.batch import Batch
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic
from metadescent.problems.rescaled import Rescaled, RescaledFunction
from metadescent.registry import make_problem

KEY = jax.random.key(0)


def perceptrons() -> MLPClassification:
    images = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    return MLPClassification(images, np.arange(8) % 2, (2,), batch_size=4, theta_std=1.0)


def test_its_gradient_is_c_times_the_gradient_there(assert_close: Callable) -> None:
    scaled = eqx.filter_jit(lambda problem: problem.sample(KEY))(Rescaled(perceptrons(), r=2.0))
    init = eqx.filter_jit(lambda f: f.init(KEY))
    slope = eqx.filter_jit(lambda f, theta: jax.grad(f.loss)(theta, KEY))
    theta, c = init(scaled), jax.tree.map(np.asarray, scaled.c)
    unscaled = jax.tree.map(np.multiply, c, theta)
    assert_close(unscaled, init(scaled.f))
    assert_close(slope(scaled, theta), jax.tree.map(np.multiply, c, slope(scaled.f, unscaled)))


def test_no_scaling_is_the_problem_itself(assert_close: Callable) -> None:
    scaled = Rescaled(Quadratic(dimension=3), r=0.0).sample(KEY)
    theta = scaled.init(KEY)
    assert_close(scaled.loss(theta, KEY), scaled.f.loss(theta, KEY))


def test_a_gradient_step_there_is_one_of_c_squared_here(assert_close: Callable) -> None:
    scaled = Rescaled(Quadratic(dimension=3), r=1.0).sample(KEY)
    begin = start(optax.sgd(1e-3), scaled, KEY)
    end, _ = unroll(optax.sgd(1e-3), scaled, begin, KEY, num_steps=1)
    moved = scaled.c * (end.theta - begin.theta)
    gradient = jax.grad(scaled.f.loss)(scaled.c * begin.theta, KEY)
    assert_close(moved, -1e-3 * scaled.c**2 * gradient, rtol=1e-3, atol=1e-5)


def test_each_of_a_batch_has_its_own_scales_and_the_data_is_shared() -> None:
    fs = Batch.sample(Rescaled(perceptrons(), r=3.0), KEY, 4)
    logs = np.concatenate([np.log(x).reshape(4, -1) for x in jax.tree.leaves(fs.own.c)], axis=1)
    assert len(np.unique(logs)) == logs.size
    assert np.abs(logs).max() <= 3.0 + 1e-5
    assert fs.shared.f.images.shape == (8, 3)


def test_a_negative_range_is_refused(sentence: Callable) -> None:
    assert "r is -1" in sentence(Rescaled, Quadratic(), r=-1.0)


@pytest.mark.parametrize("r", [0.5, 3.0])
def test_the_scales_fill_their_range(r: float) -> None:
    c = Rescaled(Quadratic(dimension=2000), r=r).sample(KEY).c
    logs = np.log(np.asarray(c))
    assert abs(logs.mean()) < 0.1 * r
    assert 0.97 * r < logs.max() <= r + 1e-5
    assert abs(logs.std() - r / np.sqrt(3)) < 0.05 * r


def test_the_command_line_asks_for_it_by_an_option() -> None:
    pytest.importorskip("sklearn")
    f = make_problem("digits(rescale=2.0)").sample(KEY)
    assert isinstance(f, RescaledFunction)
    assert all(np.abs(np.log(c)).max() <= 2.0 + 1e-5 for c in jax.tree.leaves(f.c))
    assert not isinstance(make_problem("digits").sample(KEY), RescaledFunction)
