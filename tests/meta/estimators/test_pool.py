"""A pool: the mean over trajectories that are at different steps, each with an end of its own."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.meta.epoch import run_epoch
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.pool import Pool
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.schedule import Schedule
from metadescent.meta.state import initial_state
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.batch import Part, Place
from metadescent.problems.quadratic import Quadratic

M, PROBLEM, KEY = LSTM((3,), scale=0.5, key=jax.random.key(0)), Quadratic(3), jax.random.key(1)
ONES = jnp.ones(2)
OF = {"truncated": Truncated(), "pes": PES(problems=2, std=0.1)}


@eqx.filter_jit
def begin(estimator: Estimator, problem: Any = PROBLEM, key: jax.Array = KEY) -> Any:
    return estimator.begin(M, problem, key)


@eqx.filter_jit
def estimate(estimator: Estimator, carry: Any, problem: Any = PROBLEM, key: jax.Array = KEY) -> Any:
    return estimator.estimate(M, problem, carry, key, ONES)


@pytest.mark.parametrize("of", OF.values(), ids=OF)
def test_it_is_the_mean_of_what_each_trajectory_has_by_itself(
    of: Estimator, assert_close: Callable
) -> None:
    pool, keys = Pool(of, steps=8, problems=3), jax.random.split(KEY, 3)
    carry, alone = begin(pool), [begin(of, key=key) for key in keys]
    for _ in range(2):
        gradient, carry, losses = estimate(pool, carry)
        segments = [estimate(of, each, key=key) for each, key in zip(alone, keys, strict=True)]
        alone = [after for _, after, _ in segments]
        mean = jax.tree.map(lambda *x: sum(x) / 3, *[g for g, _, _ in segments])
        assert_close(gradient, mean, rtol=1e-4, atol=1e-5)
        assert_close(losses, jnp.concatenate([x for _, _, x in segments], 1), rtol=1e-5, atol=1e-6)


def test_each_begins_anew_at_its_own_end_on_another_f() -> None:
    pool = Pool(steps=8, problems=4)
    carry = begin(pool)
    steps, first = [], {}
    for segment in range(9):
        before = carry
        _, carry, losses = estimate(pool, carry)
        steps.append(carry.steps.tolist())
        for k in np.flatnonzero(np.asarray(carry.steps) == 2):
            first.setdefault(int(k), []).append(float(losses[0, k]))
        same = (jax.random.key_data(before.keys) == jax.random.key_data(carry.keys)).all(1)
        # A trajectory keeps its f for as long as it lasts.
        assert same.tolist() == [segment == 0 or s != 2 for s in steps[-1]]
    # From when the last one has begun anew on, they are evenly apart.
    assert steps[3:8] == [[8, 2, 4, 6], [2, 4, 6, 8], [4, 6, 8, 2], [6, 8, 2, 4], [8, 2, 4, 6]]
    assert all(len(set(losses)) == len(losses) > 1 for losses in first.values())


def test_steps_before_the_first_that_counts_teach_nothing() -> None:
    pool = Pool(steps=8, problems=1, weigh_from=3)
    carry, sizes = begin(pool), []
    for _ in range(4):
        gradient, carry, _ = estimate(pool, carry)
        sizes.append(float(optax.tree.norm(gradient)))
    assert sizes[0] == 0 < min(sizes[1:])
    # Of steps 3 and 4 the second counts alone.
    alone, key = Truncated(), jax.random.split(KEY, 1)[0]
    within = begin(alone, key=key)
    _, within, _ = estimate(alone, within, key=key)
    half = eqx.filter_jit(alone.estimate)(M, PROBLEM, within, key, jnp.asarray([0.0, 1.0]))[0]
    assert sizes[1] == pytest.approx(float(optax.tree.norm(half)), rel=1e-4)


def test_parts_are_together_the_whole(assert_close: Callable) -> None:
    pool, half = Pool(steps=4, problems=4), Pool(steps=4, problems=4).part(2)
    places = [Part(PROBLEM, Place(jnp.asarray(i), 2)) for i in range(2)]
    carry, carries = begin(pool), [begin(half, place) for place in places]
    for _ in range(3):
        gradient, carry, _ = estimate(pool, carry)
        both = [estimate(half, c, place) for c, place in zip(carries, places, strict=True)]
        carries = [after for _, after, _ in both]
        mean = jax.tree.map(lambda a, b: (a + b) / 2, both[0][0], both[1][0])
        assert_close(gradient, mean, rtol=1e-4, atol=1e-5)


def test_an_episodes_end_is_none_of_a_trajectorys(assert_same_bits: Callable) -> None:
    """Two episodes of four steps are one of eight."""
    pool, adam = Pool(steps=6, problems=2), optax.adam(0.01)

    def phi_after(episodes: int, steps: int) -> Any:
        schedule = Schedule(epochs=1, episodes=episodes, steps=steps, unroll=2)
        parts, state = PROBLEM.hold_out(0.0), initial_state(M, adam)
        # The pool has its own weights: these are of an episode.
        weights = jnp.arange(steps, dtype=jnp.float32)
        return run_epoch(state, parts, schedule, pool, adam, KEY, weights).m

    assert_same_bits(phi_after(2, 4), phi_after(1, 8))


def test_segments_fill_a_run(sentence: Callable) -> None:
    pool = Pool(steps=5, problems=2)
    assert sentence(pool.estimate, M, PROBLEM, begin(pool), KEY, ONES) == (
        "the pool's steps is 5 and must be a multiple of the unroll, 2; try 4"
    )
