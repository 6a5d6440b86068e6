"""Coordinatewise rules treat every coordinate alike, and compose like any Optax transformation."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent.optimizers.base import Coordinatewise, LearnedOptimizer, OverBatch, phi_dtype
from metadescent.optimizers.lstm import LSTM

HIDDEN = 3
M = LSTM((HIDDEN,), key=jax.random.key(0))
PHI = phi_dtype(M).name  # float64 where JAX has its 64 bits on
TX = M.as_optax()
STEPS = 3


def gradients(shape: tuple[int, ...] = (6,)) -> jax.Array:
    """Gradients of several orders of magnitude for a few steps."""
    exponent_key, sign_key = jax.random.split(jax.random.key(1))
    size = 10.0 ** jax.random.uniform(exponent_key, (STEPS, *shape), minval=-6.0, maxval=1.0)
    return size * jax.random.rademacher(sign_key, size.shape, size.dtype)


def run(rule: Any, sequence: Any) -> tuple[Any, Any]:
    """The updates for a sequence of gradients, stacked, and the last state."""
    first = jax.tree.map(lambda g: g[0], sequence)

    def step(state: Any, gradient: Any) -> tuple[Any, Any]:
        update, state = rule.update(gradient, state, gradient)
        return state, update

    state, updates = jax.lax.scan(step, rule.init(first), sequence)
    return updates, state


jitted = jax.jit(lambda sequence: run(M, sequence))


def structure(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x).name), tree)


@given(st.permutations(range(6)))
def test_it_commutes_with_permutations_of_coordinates(order: list[int]) -> None:
    sequence = gradients()
    updates, state = jitted(sequence)
    permuted_updates, permuted_state = jitted(sequence[:, np.asarray(order)])
    np.testing.assert_array_equal(permuted_updates, updates[:, np.asarray(order)])
    for a, b in zip(jax.tree.leaves(permuted_state), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b[:, np.asarray(order)])


def test_coordinates_do_not_talk() -> None:
    sequence = gradients()
    disturbed = sequence.at[:, 0].set(7.0)
    updates, disturbed_updates = jitted(sequence)[0], jitted(disturbed)[0]
    np.testing.assert_array_equal(updates[:, 1:], disturbed_updates[:, 1:])
    assert not np.allclose(updates[:, 0], disturbed_updates[:, 0])


@pytest.mark.parametrize(
    "regroup",
    [
        lambda g: {"left": g[:, :3], "right": g[:, 3:]},
        lambda g: [g.reshape(STEPS, 2, 3)],
        lambda g: (g[:, 0], g[:, 1:1], {"rest": g[:, 1:].reshape(STEPS, 5, 1)}, None),
    ],
    ids=["two leaves of three", "a matrix", "a scalar, an empty leaf, a column and None"],
)
def test_it_commutes_with_regrouping_of_leaves(regroup: Callable, assert_close: Callable) -> None:
    sequence = gradients()
    whole = run(M, sequence)[0]
    assert_close(run(M, regroup(sequence))[0], regroup(whole), rtol=1e-6)


def test_the_state_mirrors_theta_with_features_first() -> None:
    theta = {"w": jnp.zeros((2, 5)), "b": jnp.zeros(()), "none": jnp.zeros((0,))}
    state = M.init(theta)

    def h_and_c(*shape: int) -> Any:
        return (((HIDDEN, *shape), PHI),) * 2

    assert structure(state) == {"w": (h_and_c(2, 5),), "b": (h_and_c(),), "none": (h_and_c(0),)}
    update, new_state = M.update(theta, state)
    assert structure(update) == structure(theta)
    assert structure(new_state) == structure(state)


THETA = {"lstm": jnp.asarray([0.3, -0.2]), "sgd": jnp.asarray([[0.1], [2.0]])}
LABELS = {"lstm": "lstm", "sgd": "sgd"}
WRAPPED = {
    "alone": TX,
    "chain": optax.chain(optax.clip(0.1), TX, optax.scale(0.5)),
    "partition": optax.partition({"lstm": TX, "sgd": optax.sgd(0.1)}, LABELS),
    "masked": optax.masked(TX, {"lstm": True, "sgd": False}),
    "MultiSteps": optax.MultiSteps(TX, every_k_schedule=2).gradient_transformation(),
    "apply_if_finite": optax.apply_if_finite(TX, 2),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_dtype_and_tree_are_stable_under(name: str) -> None:
    tx = WRAPPED[name]
    state = tx.init(THETA)
    update, new_state = jax.jit(tx.update)(THETA, state, THETA)
    assert structure(update) == structure(THETA)
    assert structure(new_state) == structure(state)
    moved = optax.apply_updates(THETA, update)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))


def test_jit_changes_nothing(assert_close: Callable) -> None:
    state = TX.init(THETA)
    assert_close(jax.jit(TX.update)(THETA, state), TX.update(THETA, state))


def test_in_a_partition_it_moves_its_own_leaves_and_no_others(assert_close: Callable) -> None:
    tx = WRAPPED["partition"]
    update, _ = tx.update(THETA, tx.init(THETA), THETA)
    alone, _ = TX.update(THETA["lstm"], TX.init(THETA["lstm"]))
    assert_close(update, {"lstm": alone, "sgd": -0.1 * THETA["sgd"]})


def test_masked_lets_the_other_gradients_through(assert_close: Callable) -> None:
    tx = WRAPPED["masked"]
    update, _ = tx.update(THETA, tx.init(THETA), THETA)
    alone, _ = TX.update(THETA["lstm"], TX.init(THETA["lstm"]))
    assert_close(update, {"lstm": alone, "sgd": THETA["sgd"]})


def test_multi_steps_feeds_it_the_mean_gradient(assert_close: Callable) -> None:
    tx = WRAPPED["MultiSteps"]
    nothing, state = tx.update(THETA, tx.init(THETA), THETA)
    assert_close(nothing, jax.tree.map(jnp.zeros_like, THETA))
    doubled = jax.tree.map(lambda x: 2 * x, THETA)
    update, _ = tx.update(doubled, state, THETA)
    mean = jax.tree.map(lambda x: 1.5 * x, THETA)
    assert_close(update, TX.update(mean, TX.init(THETA))[0])


def test_vmap_is_one_by_one(assert_close: Callable) -> None:
    sequences = jnp.stack([gradients(), -gradients(), 2 * gradients()])
    together = jax.vmap(lambda sequence: run(M, sequence))(sequences)
    for i, sequence in enumerate(sequences):
        assert_close(jax.tree.map(lambda x, i=i: x[i], together), jitted(sequence))


def test_a_batch_updated_at_once_is_one_by_one(assert_close: Callable) -> None:
    sequence = gradients((4, 6))
    at_once, _ = run(M.over_batch(), sequence)
    for b in range(4):
        assert_close(at_once[:, b], jitted(sequence[:, b])[0])
    assert_close(at_once, run(OverBatch(M), sequence)[0])


class Normalized(LearnedOptimizer):
    """A rule whose coordinates talk: −rate · ∇ / ‖∇‖, counting its steps."""

    rate: jax.Array

    def init(self, params: Any) -> Any:
        del params
        return jnp.asarray(0, jnp.int32)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        norm = optax.tree.norm(updates)
        return jax.tree.map(lambda g: -self.rate * g / norm, updates), state + 1


def test_over_batch_keeps_optimizees_apart_where_coordinates_talk(assert_close: Callable) -> None:
    rule = Normalized(jnp.asarray(0.5))
    batch = {"w": jnp.asarray([[3.0, 4.0], [0.0, 2.0]])}
    each = rule.over_batch()
    update, state = each.update(batch, each.init(batch), batch, value=jnp.ones(()))
    assert_close(update, {"w": jnp.asarray([[-0.3, -0.4], [0.0, -0.5]])})
    assert state.tolist() == [1, 1]
    assert_close(each.update(batch, each.init(batch))[0], update)


def test_over_batch_hands_each_optimizee_its_own_theta() -> None:
    decay = OverBatch(optax.add_decayed_weights(1.0))
    theta = jnp.asarray([[1.0], [2.0]])
    update, _ = decay.update(jnp.zeros((2, 1)), decay.init(theta), theta)
    assert update.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_updates_come_in_the_gradients_dtype_and_the_state_in_that_of_phi(dtype: str) -> None:
    theta = {"half": jnp.asarray([0.25, -2.0], dtype), "single": jnp.asarray([0.25, -2.0])}
    update, state = TX.update(theta, TX.init(theta), theta)
    assert structure(update) == structure(theta)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {PHI}
    np.testing.assert_allclose(update["half"].astype(jnp.float32), update["single"], rtol=1e-2)


def test_double_precision_gradients_do_not_change_the_state() -> None:
    with jax.enable_x64(True):
        theta = jnp.asarray([0.25, -2.0], jnp.float64)
        update, state = TX.update(theta, TX.init(theta), theta)
        assert update.dtype == jnp.float64
        assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {PHI}


def test_extra_arguments_are_accepted_and_passed_over(assert_close: Callable) -> None:
    tx = optax.chain(optax.clip(1.0), TX)
    state = tx.init(THETA)
    with_extras = tx.update(THETA, state, THETA, value=jnp.ones(()), grad=THETA)
    assert_close(with_extras, tx.update(THETA, state, THETA))


@pytest.mark.parametrize("interface", [LearnedOptimizer, Coordinatewise])
def test_an_interface_is_never_instantiated(interface: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        interface()


def test_phi_is_the_modules_arrays_and_moves_the_update() -> None:
    def total(m: LSTM) -> jax.Array:
        return m.update(jnp.ones(2), m.init(jnp.ones(2)))[0].sum()

    slopes = jax.tree.leaves(eqx.filter_grad(total)(M))
    assert len(slopes) == len(jax.tree.leaves(eqx.filter(M, eqx.is_inexact_array)))
    # h₀ is zero, so the recurrent weights have no say in the first step.
    assert sum(bool(jnp.any(slope != 0)) for slope in slopes) == len(slopes) - 1
