"""The logarithm of f: the same descent, gradients by f's size."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.rnnprop import RNNProp
from metadescent.problems.base import Problem
from metadescent.problems.batch import Batch
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.convex import Bowl
from metadescent.problems.logarithm import EPSILON, Logarithm, LogFunction
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(0)


def perceptrons() -> MLPClassification:
    images = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    return MLPClassification(images, np.arange(8) % 2, (2,), batch_size=4, theta_std=1.0)


@pytest.mark.parametrize("problem", [Quadratic(dimension=3), perceptrons()], ids=type)
def test_value_and_gradient_by_formula(problem: Problem, assert_close: Callable) -> None:
    log = Logarithm(problem).sample(KEY)
    slope = jax.jit(lambda f, theta: jax.value_and_grad(f.loss)(theta, KEY))
    theta = log.init(KEY)
    assert_close(theta, log.f.init(KEY))
    (ours, gradient), (f, plain) = slope(log, theta), slope(log.f, theta)
    assert_close(ours, jnp.log(f + EPSILON))
    assert_close(gradient, jax.tree.map(lambda g: g / (f + EPSILON), plain))


def test_the_minimum_stays_where_it_was() -> None:
    bowl = Bowl(jnp.asarray([0.3, -0.5]))
    log, points = LogFunction(bowl), jnp.vstack([jax.random.normal(KEY, (50, 2)), bowl.a])
    values, plain = (jax.vmap(lambda x, f=f: f.loss(x, KEY))(points) for f in (log, bowl))
    np.testing.assert_array_equal(jnp.argsort(values), jnp.argsort(plain))
    assert int(values.argmin()) == 50
    value, gradient = jax.value_and_grad(log.loss)(bowl.a, KEY)
    assert float(value) == pytest.approx(np.log(EPSILON))
    assert not gradient.any()


def test_progress_counts_in_ratios() -> None:
    log = LogFunction(Bowl(jnp.zeros(1)))
    halvings = [
        float(log.loss(jnp.asarray([size]), KEY) - log.loss(jnp.asarray([size / 2**0.5]), KEY))
        for size in (0.3, 1.0, 3.0)
    ]
    assert halvings == pytest.approx(3 * [np.log(2)], rel=2e-3)


def test_a_batch_of_logarithms_shares_the_data() -> None:
    problem = perceptrons()
    fs = Batch.sample(Logarithm(problem), KEY, 3)
    assert fs.shared.f.images is problem.f.images
    assert jax.tree.leaves(fs.own) == []
    assert jax.eval_shape(lambda: fs.loss(fs.init(KEY), KEY)).shape == (3,)


def test_to_a_rule_that_minds_no_scale_the_first_step_is_the_same(assert_close: Callable) -> None:
    log, m = Logarithm(Quadratic(dimension=3)).sample(KEY), eqx.filter_jit(RNNProp)((3,), key=KEY)
    theta = log.init(KEY)
    step = jax.jit(lambda gradient: m.update(gradient, m.init(theta), theta)[0])
    ours, plain = (step(jax.grad(f.loss)(theta, KEY)) for f in (log, log.f))
    assert_close(ours, plain)
    assert ours.all()
