"""Imitation: the distance to a teacher by hand, and φ that learns to do as the teacher does."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.episode import draw
from metadescent.meta.estimators.imitation import Imitation, Teacher
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_estimator

KEY = jax.random.key(0)
M = LSTM((4,), key=jax.random.key(1))
WEIGHTS = jnp.asarray([[1.0, 0.5], [0.0, 2.0]])
PROBLEMS = 2


class Descent(LearnedOptimizer):
    """g = −rate · ∇."""

    rate: jax.Array

    def init(self, params: Any) -> Any:
        del params
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return jax.tree.map(lambda g: -self.rate * g, updates), state


def perceptrons() -> MLPClassification:
    """θ of four leaves, f estimated on minibatches."""
    images = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    return MLPClassification(images, np.arange(8) % 2, (2,), batch_size=4, theta_std=1.0)


def segments(m: Any, lesson: Imitation, problem: Any) -> list[tuple[Any, Any, jax.Array]]:
    """Gradient, carry and losses of two segments of an episode."""

    @eqx.filter_jit
    def run(m: Any) -> list[tuple[Any, Any, jax.Array]]:
        carry, found = lesson.begin(m, problem, KEY), []
        for weights in WEIGHTS:
            gradient, carry, losses = lesson.estimate(m, problem, carry, KEY, weights)
            found.append((gradient, carry, losses))
        return found

    return run(m)


@eqx.filter_jit
def by_hand(m: LearnedOptimizer, teacher: optax.GradientTransformation, problem: Any) -> Any:
    """½ ‖g_t − Δ_t‖² a coordinate, one optimizee by itself, and the last θ."""
    _, keys = draw(problem, KEY, PROBLEMS)
    times = jax.vmap(lambda t: jax.random.fold_in(keys.minibatch, t))(jnp.arange(WEIGHTS.size))
    minibatches = jax.vmap(lambda key: jax.random.split(key, PROBLEMS))(times)

    def one(f_key: jax.Array, theta_key: jax.Array, minibatches: jax.Array) -> Any:
        f = problem.sample(f_key)

        def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            theta, state, h = carry
            gradient = jax.grad(f.loss)(theta, key)
            delta, state = teacher.update(gradient, state, theta)
            g, h = m.update(gradient, h, theta)
            apart = jnp.concatenate([x.ravel() for x in jax.tree.leaves((g, delta))])
            ours, theirs = jnp.split(apart, 2)
            squared = jnp.sum((ours - theirs) ** 2) / ours.size
            return (optax.apply_updates(theta, delta), state, h), squared / 2

        theta = f.init(theta_key)
        (theta, *_), found = jax.lax.scan(
            step, (theta, teacher.init(theta), m.init(theta)), minibatches
        )
        return found, theta

    f_keys, theta_keys = (jax.random.split(key, PROBLEMS) for key in keys[:2])
    return jax.vmap(one, in_axes=(0, 0, 1), out_axes=(1, 0))(f_keys, theta_keys, minibatches)


@pytest.mark.parametrize(
    ("teacher", "make"),
    [
        pytest.param("adam", optax.adam, marks=pytest.mark.slow),
        ("rmsprop", optax.rmsprop),
        ("sgd", optax.sgd),
    ],
)
def test_the_loss_is_the_mean_squared_distance(
    teacher: Teacher, make: Callable, assert_close: Callable
) -> None:
    m: Any = M if teacher == "adam" else Descent(jnp.asarray(0.2))
    problem = perceptrons()
    found = segments(m, Imitation(problems=PROBLEMS, teacher=teacher, rate=0.3), problem)
    losses, theta = by_hand(m, make(0.3), problem)
    assert_close(jnp.concatenate([x[2] for x in found]), losses, rtol=1e-4)
    carry = found[-1][1]
    assert_close(carry.teacher.theta, theta, rtol=1e-4)
    assert int(carry.teacher.step) == WEIGHTS.size


def test_who_is_the_teacher_has_nothing_to_learn() -> None:
    lesson = Imitation(problems=PROBLEMS, teacher="sgd", rate=0.1)
    for gradient, _, losses in segments(Descent(jnp.asarray(0.1)), lesson, perceptrons()):
        assert abs(float(gradient.rate)) < 1e-8
        np.testing.assert_allclose(losses, 0.0, atol=1e-12)


def test_the_gradient_is_that_of_the_distance_by_hand() -> None:
    """½ (r − r′)² mean ∇²: its derivative is the weighted sum of 2 losses / (r − r′)."""
    lesson = Imitation(problems=PROBLEMS, teacher="sgd", rate=0.1)
    found = segments(Descent(jnp.asarray(0.4)), lesson, perceptrons())
    for weights, (gradient, _, losses) in zip(WEIGHTS, found, strict=True):
        expected = (weights @ losses).mean() * 2 / (0.4 - 0.1)
        assert float(expected) > 1e-3
        assert float(gradient.rate) == pytest.approx(float(expected), rel=1e-4)


def test_m_looks_on_and_moves_nothing(assert_same_bits: Callable) -> None:
    lesson, problem = Imitation(problems=PROBLEMS, rate=0.3), perceptrons()
    one, other = (
        segments(Descent(jnp.asarray(rate)), lesson, problem)[-1] for rate in (0.1, 100.0)
    )
    assert_same_bits(one[1].teacher, other[1].teacher)
    assert (one[2] < other[2]).all()


def test_descent_on_it_brings_phi_near_the_teacher() -> None:
    """Episode by episode on functions not met before."""
    problem, lesson = Quadratic(dimension=2), Imitation(problems=16, rate=0.05)
    adam, phi = optax.adam(1e-2), eqx.filter(M, eqx.is_inexact_array)

    def lessen(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        m, state = carry
        gradient, _, losses = lesson.estimate(
            m, problem, lesson.begin(m, problem, key), key, jnp.ones(8)
        )
        updates, state = adam.update(gradient, state)
        return (eqx.apply_updates(m, updates), state), losses.mean()

    @jax.jit
    def learn() -> jax.Array:
        return jax.lax.scan(lessen, (M, adam.init(phi)), jax.random.split(KEY, 300))[1]

    distances = learn()
    assert float(distances[-10:].mean()) < 0.1 * float(distances[:10].mean())


def test_a_teacher_nobody_knows_is_refused(sentence: Callable) -> None:
    # Here types are checked first, and elsewhere they are not.
    drawn = SimpleNamespace(problems=1, teacher="adma", rate=0.01)
    assert sentence(Imitation.__check_init__, drawn) == (
        "there is no teacher 'adma'; known are adam, rmsprop, sgd"
    )
    assert "'adma'" in sentence(make_estimator, "imitation(teacher='adma')")


@pytest.mark.parametrize("wrong", [{"problems": 0}, {"rate": 0.0}], ids=str)
def test_numbers_of_no_sense_are_refused(wrong: dict[str, Any], sentence: Callable) -> None:
    (name,) = wrong
    assert sentence(Imitation, **wrong).startswith(f"{name} is 0")
