"""What must be true of every estimator of the meta-gradient that discovery finds, a new one too."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent._names import discovered
from metadescent.meta.estimators.base import Estimator
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_estimator

KEY, OTHER = jax.random.split(jax.random.key(0))
PROBLEM, PROBLEMS, UNROLL = Quadratic(dimension=3), 3, 2
WEIGHTS = jnp.asarray([1.0, 0.5])


class Talking(LearnedOptimizer):
    """A rule whose coordinates talk, with a field that is not φ: −rate · ∇ / (‖∇‖ + 1)."""

    rate: jax.Array
    steps: jax.Array

    def init(self, params: Any) -> Any:
        del params
        return self.steps

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        factor = -self.rate / (optax.tree.norm(updates) + 1.0)
        return jax.tree.map(lambda g: factor * g, updates), state + 1


RULES: dict[str, LearnedOptimizer] = {
    "coordinatewise": LSTM((3,), scale=0.5, key=jax.random.key(1)),
    "talking": Talking(jnp.asarray(0.3), jnp.asarray(0)),
}


class Segment(NamedTuple):
    gradient: Any
    carry: Any
    losses: jax.Array


@pytest.fixture(scope="module", params=discovered("metadescent.meta.estimators"))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def estimator(name: str) -> Estimator:
    return make_estimator(name, problems=PROBLEMS)


@eqx.filter_jit
def begin(estimator: Estimator, m: LearnedOptimizer, key: jax.Array) -> Any:
    return estimator.begin(m, PROBLEM, key)


@eqx.filter_jit
def estimate(
    estimator: Estimator, m: LearnedOptimizer, carry: Any, key: jax.Array, weights: jax.Array
) -> Segment:
    return Segment(*estimator.estimate(m, PROBLEM, carry, key, weights))


@pytest.fixture(scope="module", params=RULES)
def m(request: pytest.FixtureRequest) -> LearnedOptimizer:
    return RULES[request.param]


@pytest.fixture(scope="module")
def carry(estimator: Estimator, m: LearnedOptimizer) -> Any:
    return begin(estimator, m, KEY)


@pytest.fixture(scope="module")
def first(estimator: Estimator, m: LearnedOptimizer, carry: Any) -> Segment:
    return estimate(estimator, m, carry, KEY, WEIGHTS)


@pytest.fixture(scope="module")
def second(estimator: Estimator, m: LearnedOptimizer, first: Segment) -> Segment:
    return estimate(estimator, m, first.carry, KEY, WEIGHTS)


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), tree)


def finite(tree: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def test_it_is_an_estimator(estimator: Estimator) -> None:
    assert isinstance(estimator, Estimator)


def test_the_gradient_is_finite_has_phis_structure_and_reaches_all_of_phi(
    m: LearnedOptimizer, first: Segment, second: Segment
) -> None:
    phi = eqx.filter(m, eqx.is_inexact_array)
    for segment in (first, second):
        assert shapes(segment.gradient) == shapes(phi)
        assert finite(segment.gradient)
        assert all(leaf.any() for leaf in jax.tree.leaves(segment.gradient))


def test_a_loss_for_each_step_of_each_problem(first: Segment, second: Segment) -> None:
    for segment in (first, second):
        assert segment.losses.shape == (UNROLL, PROBLEMS)
        assert finite(segment.losses)


def test_what_is_carried_keeps_its_structure(carry: Any, first: Segment, second: Segment) -> None:
    assert shapes(carry) == shapes(first.carry) == shapes(second.carry)
    assert finite(jax.tree.leaves(eqx.filter(second.carry, eqx.is_inexact_array)))


def test_the_key_is_the_episode(
    estimator: Estimator,
    m: LearnedOptimizer,
    carry: Any,
    first: Segment,
    assert_same_bits: Callable,
) -> None:
    assert_same_bits(begin(estimator, m, KEY), carry)
    assert_same_bits(estimate(estimator, m, carry, KEY, WEIGHTS), first)
    elsewhere = estimate(estimator, m, begin(estimator, m, OTHER), OTHER, WEIGHTS)
    assert not np.isclose(elsewhere.losses, first.losses).any()


def test_a_segment_goes_on_where_the_one_before_ended(
    estimator: Estimator, m: LearnedOptimizer, carry: Any, first: Segment, second: Segment
) -> None:
    """What comes later changes nothing of what was, and is no repetition of it."""
    longer = estimate(estimator, m, carry, KEY, jnp.concatenate([WEIGHTS, WEIGHTS]))
    np.testing.assert_allclose(longer.losses[:UNROLL], first.losses, rtol=1e-4)
    assert not np.isclose(second.losses, first.losses).all(1).any()


def test_the_gradient_is_linear_in_the_weights(
    estimator: Estimator,
    m: LearnedOptimizer,
    carry: Any,
    first: Segment,
    assert_close: Callable,
) -> None:
    parts = [estimate(estimator, m, carry, KEY, WEIGHTS * e) for e in jnp.eye(UNROLL)]
    total = jax.tree.map(jnp.add, *(part.gradient for part in parts))
    assert_close(total, first.gradient, rtol=1e-3, atol=1e-3)
    for part in parts:
        assert_close(part.losses, first.losses)
        assert_close(part.carry, first.carry)
    nothing = estimate(estimator, m, carry, KEY, 0 * WEIGHTS)
    assert not any(leaf.any() for leaf in jax.tree.leaves(nothing.gradient))


def test_jit_changes_nothing(estimator: Estimator, assert_close: Callable) -> None:
    m = RULES["talking"]
    here = estimator.begin(m, PROBLEM, KEY)
    ours = Segment(*estimator.estimate(m, PROBLEM, here, KEY, WEIGHTS))
    jitted = estimate(estimator, m, begin(estimator, m, KEY), KEY, WEIGHTS)
    assert_close(ours, jitted, rtol=1e-3, atol=1e-3)


def test_no_problems_are_refused(name: str, sentence: Callable) -> None:
    assert sentence(make_estimator, f"{name}(problems=0)") == (
        "problems is 0 and must be at least 1"
    )
