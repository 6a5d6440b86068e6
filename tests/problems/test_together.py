"""Problems side by side: values add up, and nothing else of one is felt by another."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.unrolling import Trajectory, start, unroll
from metadescent.optimizers.blend import Blend
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.batch import Batch
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.convex import Convex
from metadescent.problems.quadratic import Quadratic
from metadescent.problems.together import SumFunction, Together, summands

KEY = jax.random.key(0)
PARTS = (Quadratic(dimension=3), Convex(dimension=2))


class Noise(Optimizee):
    """f(θ) = θ + ε, a new ε each time."""

    start: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return theta + jax.random.normal(key)


class Noises(Problem):
    def sample(self, key: jax.Array) -> Noise:
        return Noise(jax.random.normal(key))


def perceptrons() -> MLPClassification:
    images = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    return MLPClassification(images, np.arange(8) % 2, (2,), batch_size=4, theta_std=1.0)


@pytest.fixture(scope="module")
def both() -> SumFunction:
    return Together(PARTS).sample(KEY)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_value_is_the_sum(count: int, assert_close: Callable) -> None:
    f = Together([Convex(dimension=n + 1) for n in range(count)]).sample(KEY)
    theta = f.init(KEY)
    assert [x.shape for x in theta] == [(n + 1,) for n in range(count)]
    values = [f.loss(x, KEY) for f, x in zip(f.parts, theta, strict=True)]
    assert_close(f.loss(theta, KEY), sum(values, start=jnp.zeros(())))


def test_the_gradient_of_each_part_is_its_own(
    both: SumFunction, assert_same_bits: Callable
) -> None:
    theta = both.init(KEY)
    ours = jax.grad(both.loss)(theta, KEY)
    alone = tuple(jax.grad(f.loss)(x, KEY) for f, x in zip(both.parts, theta, strict=True))
    assert_same_bits(ours, alone)
    elsewhere = jax.grad(both.loss)((theta[0], theta[1] + 1.0), KEY)
    assert_same_bits(elsewhere[0], ours[0])
    assert (elsewhere[1] != ours[1]).all()


def test_parts_are_drawn_started_and_estimated_independently() -> None:
    @jax.jit
    @jax.vmap
    def draws(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        f: Any = Together([Noises(), Noises()]).sample(key)
        zeros = (jnp.zeros(()), jnp.zeros(()))
        starts = jnp.stack([part.start for part in f.parts])
        return starts, jnp.stack(f.init(key)), f.loss(zeros, key)

    drawn, begun, estimated = map(np.asarray, draws(jax.random.split(KEY, 4000)))
    for pair in (drawn, begun):
        np.testing.assert_allclose(np.cov(pair.T), np.eye(2), atol=0.1)
    # Of one and the same ε the variance would be 4.
    assert np.var(estimated) == pytest.approx(2.0, abs=0.2)


def test_a_batch_shares_the_data_of_every_part() -> None:
    mlp, mlp_too = perceptrons(), perceptrons()
    fs = Batch.sample(Together([mlp, Quadratic(dimension=3), mlp_too]), KEY, 4)
    assert fs.shared.parts[0].images is mlp.f.images
    assert fs.shared.parts[2].images is mlp_too.f.images
    assert {x.shape for x in jax.tree.leaves(fs.own)} == {(4, 3, 3), (4, 3)}
    assert jax.eval_shape(lambda: fs.loss(fs.init(KEY), KEY)).shape == (4,)


def test_a_coordinatewise_rule_meets_each_part_as_if_alone(
    both: SumFunction, assert_close: Callable
) -> None:
    """Trajectories side by side are those one by one, and meta-gradients add up."""
    m, theta = LSTM((3,), key=jax.random.key(1)), both.init(KEY)

    def run(m: LSTM, f: Optimizee, theta: Any) -> tuple[jax.Array, Any]:
        begin = start(m, f, KEY)
        begin = Trajectory(theta, m.init(theta), begin.step)
        end, losses = unroll(m, f, begin, KEY, num_steps=4)
        return losses.sum(), end

    slope = eqx.filter_value_and_grad(run, has_aux=True)

    @eqx.filter_jit
    def slopes(m: LSTM, both: SumFunction, theta: Any) -> tuple:
        return slope(m, both, theta), list(map(partial(slope, m), both.parts, theta))

    ((loss, end), gradient), alone = slopes(m, both, theta)
    assert_close(end.theta, tuple(end.theta for (_, end), _ in alone), rtol=1e-4)
    assert_close(end.state, tuple(end.state for (_, end), _ in alone), rtol=1e-4)
    assert_close(loss, sum(loss for (loss, _), _ in alone), rtol=1e-4)
    total = jax.tree.map(jnp.add, *(gradient for _, gradient in alone))
    assert_close(gradient, total, rtol=1e-3, atol=1e-5)


def test_no_problem_at_all_is_refused(sentence: Callable) -> None:
    assert sentence(Together, []) == "there is no problem to put together; give one or more"


@pytest.mark.parametrize("size", [None, 2])
def test_a_rule_that_looks_at_all_of_theta_meets_each_part_as_if_alone(
    size: int | None, assert_close: Callable
) -> None:
    m, key = Blend(horizon=9.0, key=jax.random.key(5)), jax.random.key(6)
    # A network of more matrices would take shorter steps.
    problem = Together([perceptrons(), Quadratic(3)], apart=True)
    if size is None:
        f = problem.sample(jax.random.key(0))
    else:
        f = Batch.sample(problem, jax.random.key(0), size)
    begin = start(m, f, jax.random.key(1))
    end, losses = unroll(m, f, begin, key, num_steps=4)
    for part, theta, reached in zip(summands(f), begin.theta, end.theta, strict=True):
        alone = start(m, part, jax.random.key(1))
        assert_close(alone.theta, theta)
        last, own = unroll(m, part, alone, key, num_steps=4)
        assert_close(last.theta, reached)
        losses = losses - own
    assert_close(losses, jnp.zeros_like(losses), atol=1e-5)


def test_apart_or_not_the_functions_are_the_same(assert_close: Callable) -> None:
    parts = [Quadratic(2), Quadratic(3)]
    ways = [
        unroll(LSTM((3,), key=KEY), f, start(LSTM((3,), key=KEY), f, KEY), KEY, num_steps=3)
        for f in (Together(parts, apart=apart).sample(KEY) for apart in (True, False))
    ]
    assert_close(ways[0], ways[1])
    assert summands(Together(parts).sample(KEY)) == []


def test_parts_that_are_apart_are_held_out_apart() -> None:
    held = Together([Quadratic(2), Quadratic(3)], apart=True).hold_out(0.5)
    assert all(problem.apart for problem in held)
