"""Every optimizer faces the same problems; a curve is a mean and Student's interval."""

import json
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from metadescent.descent.curves import (
    apart,
    blown_up,
    final_loss,
    held_out_curves,
    learning_curves,
    summarize,
)
from metadescent.descent.episode import draw, start_batch
from metadescent.descent.tuning import tune
from metadescent.descent.unrolling import unroll
from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.batch import parts_of
from metadescent.problems.convex import Bowl

KEY = jax.random.key(4)
STEPS, SEEDS = 5, 3
fast_unroll = eqx.filter_jit(unroll)
SGD = optax.sgd(0.1)
STILL = jax.tree.map(jnp.zeros_like, LSTM((2,), key=jax.random.key(0)))


class Noisy(Optimizee):
    """f(θ) = E‖θ − c − ε‖², one ε at a time."""

    centre: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, self.centre.shape)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.sum((theta - self.centre - jax.random.normal(key, theta.shape)) ** 2)


class NoisyProblem(Problem):
    def sample(self, key: jax.Array) -> Noisy:
        return Noisy(jax.random.normal(key, (2,)))


def curves(m: Any, key: jax.Array = KEY) -> jax.Array:
    return learning_curves(m, NoisyProblem(), key, num_steps=STEPS, num_seeds=SEEDS)


@pytest.fixture(scope="module")
def still() -> jax.Array:
    """Curves of an optimizer that does not move: f, θ₀ and the minibatches, and nothing else."""
    return curves(STILL)


@pytest.mark.parametrize("other", [optax.sgd(0.0), optax.adam(0.0)], ids=["SGD", "Adam"])
def test_one_key_is_one_set_of_problems_for_every_optimizer(other: Any, still: jax.Array) -> None:
    np.testing.assert_allclose(curves(other), still, rtol=1e-6)


def test_what_a_rule_refuses_is_one_optimizee_too_large_not_many_small_ones() -> None:
    m = NTMBFGS((2,), 1, limit=2, key=KEY)
    many = learning_curves(m, NoisyProblem(), KEY, num_steps=2, num_seeds=3)
    assert np.isfinite(many).all()


def test_another_key_is_another_set_of_problems(still: jax.Array) -> None:
    assert not np.isclose(curves(STILL, jax.random.key(5)), still).any()


def test_seeds_and_steps_differ(still: jax.Array) -> None:
    assert still.shape == (SEEDS, STEPS)
    assert len(np.unique(np.asarray(still))) == SEEDS * STEPS


def test_a_curve_is_an_unroll(assert_close: Callable) -> None:
    adam = optax.adam(0.1)
    fs, keys = draw(NoisyProblem(), KEY, SEEDS)
    begin = start_batch(adam, NoisyProblem(), KEY, SEEDS)
    _, losses = fast_unroll(adam, fs, begin, keys.minibatch, num_steps=STEPS)
    assert_close(curves(adam), losses.T)


def test_state_is_fresh_every_time(assert_same_bits: Callable) -> None:
    adam = optax.adam(0.1)
    assert_same_bits(curves(adam), curves(adam))


def test_the_interval_is_students() -> None:
    losses = np.random.default_rng(0).lognormal(size=(7, 4)).astype(np.float32)
    curve = summarize(jnp.asarray(losses), rate=0.5)
    low, high = scipy.stats.t.interval(
        0.95, df=6, loc=losses.mean(0, np.float64), scale=scipy.stats.sem(losses.astype(float))
    )
    np.testing.assert_allclose(curve.mean, losses.mean(0, np.float64))
    np.testing.assert_allclose(curve.low, low)
    np.testing.assert_allclose(curve.high, high)
    assert curve.rate == 0.5


def test_one_seed_has_a_mean_and_no_interval() -> None:
    curve = summarize(jnp.asarray([[3.0, 1.0]]))
    assert curve.mean.tolist() == [3.0, 1.0]
    assert np.isnan([curve.low, curve.high]).all()


def test_a_curve_that_diverges_can_be_summarized() -> None:
    curve = summarize(jnp.asarray([[1.0, jnp.inf], [3.0, 2.0]]))
    assert curve.mean.tolist() == [2.0, np.inf]


RISING = np.array([1.0, 2.0, 9.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("last", [1e3, 1e30, np.inf, np.nan])
def test_what_ends_far_above_its_first_tenth_has_blown_up(last: float, unit: float) -> None:
    losses = np.tile(RISING, (40, 1))
    losses[3, -1] = last
    assert np.flatnonzero(blown_up(unit * losses)).tolist() == [3]
    assert blown_up(unit * losses - 5.0 * unit)[3]


def test_a_peak_a_rise_and_a_problem_that_is_solved_at_once_are_no_blow_ups() -> None:
    losses = np.tile(RISING, (40, 1))
    losses[0, 2] = 1e9
    losses[1, -1] = 5.0
    losses[2] = [1e-12, 0.0, 0.0, 0.0, 0.0, 1e-9]
    assert not blown_up(losses).any()
    assert not blown_up(np.zeros((2, 4))).any()


@pytest.mark.parametrize(("gone", "left_out"), [(0, 0), (1, 1), (5, 5), (6, 0), (100, 0)])
def test_few_that_blew_up_are_left_out_and_many_are_not(gone: int, left_out: int) -> None:
    assert apart(np.arange(100) < gone).sum() == left_out


def test_a_curve_in_json() -> None:
    curve = summarize(jnp.asarray([[4.0, 1.0], [2.0, 1.0]]), rate=0.1)
    written = json.loads(json.dumps(curve.to_json(), allow_nan=False))
    assert written["mean"] == [3.0, 1.0]
    assert written["final"] == curve.final == 1.0
    assert written["sum"] == curve.sum == 4.0
    assert written["rate"] == 0.1
    assert written["diverged"] == 0
    np.testing.assert_allclose(written["ci95"], np.stack([curve.low, curve.high], axis=1))


def test_json_has_no_word_for_nan() -> None:
    one_seed = summarize(jnp.asarray([[3.0, 1.0]]))
    written = json.loads(json.dumps(one_seed.to_json(), allow_nan=False))
    assert written["mean"] == [3.0, 1.0]


@pytest.mark.parametrize(("steps", "expected"), [(100, 94.5), (20, 18.5), (19, 18.0), (1, 0.0)])
def test_the_final_loss_is_the_mean_over_the_last_tenth(steps: int, expected: float) -> None:
    assert float(final_loss(jnp.arange(float(steps)))) == expected


def test_the_final_loss_is_taken_curve_by_curve() -> None:
    curve = jnp.arange(40.0).reshape(2, 20)
    assert final_loss(curve).tolist() == [18.5, 38.5]
    assert summarize(curve).last_tenth == 28.5


def held_out(problem: Problem, other: Problem, every: int = 2) -> tuple[jax.Array, jax.Array]:
    return held_out_curves(SGD, problem, other, KEY, num_steps=6, num_seeds=SEEDS, every=every)


@pytest.mark.slow
def test_held_out_data_is_looked_at_and_not_learned_from() -> None:
    plain = learning_curves(SGD, NoisyProblem(), KEY, num_steps=6, num_seeds=SEEDS)
    for other in (NoisyProblem(), Quiet()):
        np.testing.assert_allclose(held_out(NoisyProblem(), other)[0], plain, rtol=1e-6)


class Norm(Optimizee):
    """‖θ‖² where `Noisy` has its own, without noise."""

    def init(self, key: jax.Array) -> jax.Array:
        return jnp.zeros(2)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.sum(theta**2)


class Quiet(Problem):
    def sample(self, key: jax.Array) -> Norm:
        return Norm()


def test_held_out_losses_are_those_of_the_very_theta() -> None:
    """One step at a time, θ_t in plain sight."""
    losses = held_out(NoisyProblem(), Quiet())[1]
    assert losses.shape == (SEEDS, 3)
    fs, keys = draw(NoisyProblem(), KEY, SEEDS)
    trajectory = start_batch(SGD, NoisyProblem(), KEY, SEEDS)
    for point in range(3):
        trajectory, _ = fast_unroll(SGD, fs, trajectory, keys.minibatch, num_steps=2)
        np.testing.assert_allclose(losses[:, point], (trajectory.theta**2).sum(-1), rtol=1e-5)


def test_held_out_minibatches_are_drawn_apart() -> None:
    curves, other = held_out(NoisyProblem(), NoisyProblem(), every=1)
    assert not np.isclose(curves, other).any()


@pytest.mark.parametrize("every", [0, 4, 7])
def test_held_out_points_must_fill_the_steps(every: int, sentence: Callable) -> None:
    assert sentence(held_out, NoisyProblem(), Quiet(), every) == (
        f"6 steps are not a multiple of {every}; try every=1"
    )


class InParts(NoisyProblem):
    @property
    def at_once(self) -> int:
        return 2


@pytest.mark.parametrize("m", [STILL, optax.adam(0.1)], ids=["learned", "adam"])
def test_a_large_problem_goes_in_parts_and_nothing_else_changes(m: Any) -> None:
    whole, parts = (
        learning_curves(m, problem, KEY, num_steps=STEPS, num_seeds=6)
        for problem in (NoisyProblem(), InParts())
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-6)


@pytest.mark.parametrize("m", [STILL, optax.adam(0.1)], ids=["learned", "adam"])
def test_so_it_does_with_held_out_data(m: Any) -> None:
    whole, parts = (
        held_out_curves(m, problem, NoisyProblem(), KEY, num_steps=4, num_seeds=6, every=2)
        for problem in (NoisyProblem(), InParts())
    )
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_parts_are_equal_and_as_few_as_may_be() -> None:
    assert parts_of(100, None) == 1
    assert parts_of(100, 8) == 20
    assert parts_of(7, 4) == 7
    assert parts_of(6, 0) == 6


class Bowls(Problem):
    """Bowls without minibatches, as a search along a line takes them."""

    large: bool = False

    def sample(self, key: jax.Array) -> Bowl:
        return Bowl(jax.random.normal(key, (2,)))

    @property
    def at_once(self) -> int | None:
        return 2 if self.large else None


def test_so_do_searches_along_a_line() -> None:
    lbfgs = optax.lbfgs()
    whole, parts = (
        learning_curves(lbfgs, Bowls(large), KEY, num_steps=6, num_seeds=4)
        for large in (False, True)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["adam", pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_so_do_searches_for_rates(name: str) -> None:
    whole, parts = (
        tune(name, Bowls(large), KEY, num_steps=6, num_seeds=4) for large in (False, True)
    )
    assert parts.rate == whole.rate
    close = np.isclose(parts.final_losses, whole.final_losses, rtol=1e-4, atol=1e-9)
    # Rounding may decide whether a search along a line takes one gradient more.
    assert close.mean() > 0.8 if name == "lbfgs" else close.all()
