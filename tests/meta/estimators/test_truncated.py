"""Truncated BPTT: the derivative of each segment, with all that was before it held constant."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.episode import draw
from metadescent.descent.unrolling import Trajectory, unroll
from metadescent.meta.estimators.truncated import Truncated
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(0)
M = LSTM((3,), scale=0.5, key=jax.random.key(1))
PROBLEM, PROBLEMS = Quadratic(dimension=3), 2
WEIGHTS = jnp.asarray([[1.0, 0.5, 2.0], [0.0, 1.0, 1.0]])

Segments = list[tuple[Any, Trajectory, jax.Array]]


def segments(**options: Any) -> Segments:
    """Gradient, carry and losses of two segments of an episode."""
    bptt = Truncated(problems=PROBLEMS, **options)

    @eqx.filter_jit
    def run(m: LSTM) -> Segments:
        carry, found = bptt.begin(m, PROBLEM, KEY), []
        for weights in WEIGHTS:
            gradient, carry, losses = bptt.estimate(m, PROBLEM, carry, KEY, weights)
            found.append((gradient, carry, losses))
        return found

    return run(M)


def by_hand(second_derivatives: bool) -> Segments:
    """The same by automatic differentiation of the plain unroll, each segment from a constant."""
    fs, keys = draw(PROBLEM, KEY, PROBLEMS)

    def loss(m: LSTM, carry: Trajectory, weights: jax.Array) -> tuple[jax.Array, Any]:
        carry, losses = unroll(
            m,
            fs,
            carry,
            keys.minibatch,
            num_steps=len(weights),
            second_derivatives=second_derivatives,
            form="plain",
        )
        return (weights @ losses).mean(), (carry, losses)

    @eqx.filter_jit
    def run(m: LSTM) -> Segments:
        theta, found = fs.init(keys.theta), []
        carry = Trajectory(theta, m.init(theta), jnp.asarray(0))
        for weights in WEIGHTS:
            gradient, (carry, losses) = eqx.filter_grad(loss, has_aux=True)(m, carry, weights)
            found.append((gradient, carry, losses))
        return found

    return run(M)


@pytest.fixture(scope="module")
def first_order() -> Segments:
    return by_hand(second_derivatives=False)


@pytest.mark.parametrize(
    "options",
    [{}, {"form": "recompute"}, {"coordinates": 3 * PROBLEMS}],
    ids=["two phases", "one phase", "a sample of all"],
)
def test_it_is_the_derivative_of_each_segment(
    options: dict[str, Any], first_order: Segments, assert_close: Callable
) -> None:
    assert_close(segments(**options), first_order, rtol=1e-3, atol=1e-4)


def test_second_derivatives_are_kept_if_wanted(
    first_order: Segments, assert_close: Callable
) -> None:
    exact = segments(second_derivatives=True)
    assert_close(exact, by_hand(second_derivatives=True), rtol=1e-3, atol=1e-4)
    # The same episode, and another derivative of it.
    assert_close([x[1:] for x in exact], [x[1:] for x in first_order], rtol=1e-3, atol=1e-4)
    for (ours, *_), (theirs, *_) in zip(exact, first_order, strict=True):
        assert not np.allclose(ours.output.weight, theirs.output.weight, rtol=1e-3)


def test_a_sample_of_coordinates_is_another_estimate_of_the_same(first_order: Segments) -> None:
    sampled = segments(coordinates=2)
    for (ours, carry, losses), (exact, there, expected) in zip(sampled, first_order, strict=True):
        np.testing.assert_allclose(losses, expected, rtol=1e-4)
        np.testing.assert_allclose(carry.theta, there.theta, rtol=1e-4, atol=1e-5)
        a, b = np.ravel(ours.output.weight), np.ravel(exact.output.weight)
        assert not np.allclose(a, b, rtol=1e-2)
        assert a @ b > 0


def test_only_the_leaves_that_are_asked_for_are_learned(
    first_order: Segments, assert_close: Callable
) -> None:
    for (ours, *rest), (exact, *there) in zip(
        segments(leaves="output/*"), first_order, strict=True
    ):
        assert_close(ours.output, exact.output, rtol=1e-3, atol=1e-4)
        assert not any(x.any() for x in jax.tree.leaves(eqx.tree_at(_output, ours, None)))
        assert_close(rest, there, rtol=1e-3, atol=1e-4)


def _output(m: LSTM) -> Any:
    return m.output


def test_leaves_that_are_not_there_are_named(sentence: Callable) -> None:
    assert sentence(segments, leaves="*/p").startswith("no leaf of φ is called '*/p'; try one of ")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"problems": 0}, "problems is 0 and must be at least 1"),
        ({"coordinates": -1}, "coordinates is -1 and must be at least 0"),
    ],
    ids=str,
)
def test_numbers_of_no_sense_are_refused(
    wrong: dict[str, Any], said: str, sentence: Callable
) -> None:
    assert sentence(Truncated, **wrong) == said


def test_two_phases_have_no_second_derivatives(sentence: Callable) -> None:
    said = sentence(segments, form="two-phase", second_derivatives=True)
    assert said.startswith("the form two-phase is for coordinatewise rules to first order")


class Gradient(LearnedOptimizer):
    """g = −φ ∇, one number."""

    phi: jax.Array

    def init(self, params: Any) -> tuple[()]:
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **_: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda gradient: -self.phi * gradient, updates), state


class Parabola(Optimizee):
    """f(θ) = θ²/2 from θ₀ = 1."""

    def init(self, key: jax.Array) -> jax.Array:
        return jnp.ones(())

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return theta**2 / 2


class Parabolas(Problem):
    def sample(self, key: jax.Array) -> Parabola:
        return Parabola()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("second_derivatives", [True, False])
def test_feedback_scales_every_answer_of_the_optimizee(
    share: float, second_derivatives: bool
) -> None:
    """θ′ = θ − φθ, so ∂θ′/∂φ = (1 − λφ) ∂θ/∂φ − θ, where λ is 0 to first order."""
    phi, steps = 0.4, 6
    theta, slope, expected = 1.0, 0.0, 0.0
    answered = share if second_derivatives else 0.0
    for _ in range(steps):
        theta, slope = theta - phi * theta, slope - answered * phi * slope - theta
        expected += theta * slope
    m = Gradient(jnp.asarray(phi))
    bptt = Truncated(feedback=share, second_derivatives=second_derivatives)
    begin = bptt.begin(m, Parabolas(), KEY)
    gradient, _, losses = bptt.estimate(m, Parabolas(), begin, KEY, jnp.ones(steps))
    np.testing.assert_allclose(gradient.phi, expected, rtol=1e-5)
    np.testing.assert_allclose(losses[-1, 0], theta**2 / 2, rtol=1e-5)


def test_a_share_beyond_all_is_refused(sentence: Callable) -> None:
    assert "feedback is 1.5" in sentence(Truncated, feedback=1.5)


def test_the_logarithm_may_count_instead() -> None:
    """After one step of θ′ = θ − φθ from 1:  d log(θ′²/2 + ε)/dφ = −θ′ / (θ′²/2 + ε)."""
    phi, epsilon = 0.4, 0.01
    bptt = Truncated(log=epsilon)
    begin = bptt.begin(Gradient(jnp.asarray(phi)), Parabolas(), KEY)
    m = Gradient(jnp.asarray(phi))
    gradient, _, losses = bptt.estimate(m, Parabolas(), begin, KEY, jnp.ones(1))
    theta = 1 - phi
    np.testing.assert_allclose(gradient.phi, -theta / (theta**2 / 2 + epsilon), rtol=1e-5)
    np.testing.assert_allclose(losses, [[theta**2 / 2]], rtol=1e-5)


def test_a_negative_constant_in_the_logarithm_is_refused(sentence: Callable) -> None:
    assert sentence(Truncated, log=-1.0) == "log is -1.0 and must be at least 0"
