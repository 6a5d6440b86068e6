"""What optimizers would have proposed: on their own trajectory, what they do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from metadescent.descent.proposals import (
    Scene,
    around,
    draw_coordinates,
    functions,
    histories,
    scene,
)
from metadescent.descent.unrolling import AnyOptimizer, exact, start, unroll
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.partitioned import ByHand
from metadescent.problems.base import Optimizee, Problem

STEPS = 6
LSTM_4 = LSTM((4,), p=10.0, scale=0.1, key=jax.random.key(0))
ADAM, SGD = optax.adam(0.1), optax.sgd(0.05)


class Noisy(Optimizee):
    """Two leaves, and a loss that depends on the minibatch and couples the coordinates."""

    def init(self, key):
        return {"a": jax.random.normal(key, (2,)), "b": jnp.ones((1, 2))}

    def loss(self, theta, key):
        x, _ = ravel_pytree(theta)
        return jnp.sum(x) ** 2 + jnp.sum((x - jax.random.normal(key, x.shape)) ** 2)


class Noises(Problem):
    def sample(self, key):
        del key
        return Noisy()


WHERE = scene(Noises(), jax.random.key(1))


def own_updates(rule: AnyOptimizer, where: Scene = WHERE) -> np.ndarray:
    """The updates of a rule that runs alone, written as a loop."""
    theta, state = where.theta, rule.init(where.theta)

    @jax.jit
    def step(theta: Any, state: Any, t: int) -> Any:
        _, gradient = exact(where.f, theta, jax.random.fold_in(where.minibatch, t))
        g, state = rule.update(gradient, state, theta)
        return optax.apply_updates(theta, g), state, ravel_pytree(g)[0]

    updates = []
    for t in range(STEPS):
        theta, state, g = step(theta, state, t)
        updates.append(g)
    return np.stack(updates)


@pytest.mark.parametrize(("name", "rule"), [("adam", ADAM), ("sgd", SGD), ("lstm", LSTM_4)])
def test_who_leads_proposes_what_it_does_alone(name: str, rule: AnyOptimizer) -> None:
    others = {"adam": ADAM, "sgd": SGD, "lstm": LSTM_4}
    seen = histories({name: rule, **others}, WHERE, num_steps=STEPS)
    np.testing.assert_allclose(seen.updates[name], own_updates(rule), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "rule"), [("adam", ADAM), ("sgd", SGD), ("lstm", LSTM_4)])
def test_a_follower_on_its_own_trajectory_proposes_its_own_updates(
    name: str, rule: AnyOptimizer
) -> None:
    seen = histories({"leader": rule, name: rule}, WHERE, num_steps=STEPS)
    np.testing.assert_array_equal(seen.updates[name], seen.updates["leader"])
    np.testing.assert_allclose(seen.updates[name], own_updates(rule), rtol=1e-5, atol=1e-7)


def test_followers_see_the_leaders_gradients_and_leave_its_trajectory_alone() -> None:
    alone = histories({"lstm": LSTM_4}, WHERE, num_steps=STEPS)
    seen = histories({"lstm": LSTM_4, "adam": ADAM, "sgd": SGD}, WHERE, num_steps=STEPS)
    np.testing.assert_allclose(seen.gradients, alone.gradients, rtol=1e-5)
    np.testing.assert_allclose(seen.updates["sgd"], -0.05 * seen.gradients, rtol=1e-6)
    state = ADAM.init(jnp.zeros(4))
    for gradient, proposed in zip(seen.gradients, seen.updates["adam"], strict=True):
        g, state = ADAM.update(gradient, state)
        np.testing.assert_allclose(proposed, g, rtol=1e-4, atol=1e-7)


def test_losses_are_those_of_the_unroll() -> None:
    seen = histories({"adam": ADAM}, WHERE, num_steps=STEPS)
    begin = start(ADAM, WHERE.f, jax.random.key(0))._replace(theta=WHERE.theta)
    _, losses = unroll(ADAM, WHERE.f, begin, WHERE.minibatch, num_steps=STEPS)
    np.testing.assert_allclose(seen.losses[1:], losses[:-1], rtol=1e-5)


GAC = LSTMGAC((4,), averaging=2, key=jax.random.key(2))
ALL = {"lstm": LSTM_4, "adam": ADAM, "sgd": SGD}


@pytest.mark.parametrize("leader", [LSTM_4, GAC, ADAM])
def test_a_function_passes_through_what_happened(leader: AnyOptimizer) -> None:
    optimizers = {"leader": leader, **ALL}
    seen = histories(optimizers, WHERE, num_steps=STEPS)
    chosen = np.array([3, 0])
    # Coordinate by coordinate, the gradients of all steps: step t stands at column t.
    proposed = functions(optimizers, WHERE, chosen, seen.gradients[:, chosen].T, num_steps=STEPS)
    for name, updates in seen.updates.items():
        actual = np.stack([proposed[name][t, :, t] for t in range(STEPS)])
        np.testing.assert_allclose(actual, updates[:, chosen], rtol=1e-4, atol=1e-6, err_msg=name)


def test_coordinates_at_once_or_one_by_one_are_the_same_function() -> None:
    one_by_one: LearnedOptimizer = ByHand(LSTM_4.as_optax())
    values = np.linspace(-3, 3, 7, dtype=np.float32) * np.ones((4, 1), np.float32)
    both = functions(
        {"lstm": LSTM_4, "one by one": one_by_one}, WHERE, np.arange(4), values, num_steps=3
    )
    np.testing.assert_allclose(both["lstm"], both["one by one"], rtol=1e-4, atol=1e-6)


def test_another_coordinates_values_do_not_matter() -> None:
    values = np.array([[-1.0, 2.0], [0.5, 4.0]], np.float32)
    both = functions({"gac": GAC, **ALL}, WHERE, np.array([1, 2]), values, num_steps=3)
    alone = functions({"gac": GAC, **ALL}, WHERE, np.array([2]), values[1:], num_steps=3)
    for name, curves in alone.items():
        np.testing.assert_allclose(both[name][:, 1:], curves, rtol=1e-4, atol=1e-7, err_msg=name)


def test_adams_first_function_is_a_step_and_sgds_a_line() -> None:
    values = np.array([[-9.0, -0.1, 0.1, 9.0]], np.float32)
    first = functions({"lstm": LSTM_4, **ALL}, WHERE, np.array([0]), values, num_steps=1)
    np.testing.assert_allclose(first["adam"][0, 0], [0.1, 0.1, -0.1, -0.1], rtol=1e-3)
    np.testing.assert_allclose(first["sgd"][0, 0], -0.05 * values[0], rtol=1e-6)


def test_coordinates_without_a_gradient_are_drawn_last() -> None:
    gradients = np.ones((4, 50))
    gradients[:, ::2] = 0.0
    gradients[0, 1] = 0.0
    chosen = draw_coordinates(gradients, 24, seed=3)
    assert sorted(chosen) == list(range(3, 50, 2))
    assert (
        list(draw_coordinates(gradients, 24, seed=3))
        == list(chosen)
        != list(draw_coordinates(gradients, 24, 4))
    )
    assert draw_coordinates(gradients, 25, seed=3)[-1] == 1


def test_values_reach_beyond_what_was_seen_and_never_collapse() -> None:
    values = around(np.array([[2.0, 0.0], [-3.0, 0.0]]), span=10.0, points=5)
    np.testing.assert_array_equal(values, [[-30, -15, 0, 15, 30], [-10, -5, 0, 5, 10]])


def test_what_cannot_be_drawn_is_a_sentence(sentence: Callable) -> None:
    assert sentence(histories, {}, WHERE, num_steps=2) == (
        "the number of optimizers is 0 and must be at least 1"
    )
    assert sentence(histories, ALL, WHERE, num_steps=0) == (
        "the number of steps is 0 and must be at least 1"
    )
    values = np.zeros((1, 2), np.float32)
    assert sentence(functions, ALL, WHERE, np.array([4]), values, num_steps=2) == (
        "there is no coordinate 4; try one from 0 to 3"
    )
