"""What must be true of every learned optimizer that discovery finds, a new one among them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.optimizers.base import LearnedOptimizer, OverBatch
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_optimizer, optimizers
from metadescent.zoo.file import load, save

KEY = jax.random.key(0)
THETA = {"w": jnp.asarray([[0.5, -1.0, 2.0], [0.1, 0.0, -3.0]]), "b": jnp.asarray(0.3)}


# A partition and a chain have no names of their own.
@pytest.fixture(
    scope="module",
    params=[
        *optimizers(),
        "* -> lstm",
        "lstm >> pace",
        "lstm >> relative",
        "anytime >> proportional",
    ],
)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def m(name: str) -> LearnedOptimizer:
    return make_optimizer(name, KEY)


def two_steps(rule: Any, theta: Any) -> tuple[Any, Any]:
    """Updates and state after two steps whose gradients are θ and −θ/2."""
    state = rule.init(theta)
    _, state = rule.update(theta, state, theta)
    return rule.update(jax.tree.map(lambda x: -x / 2, theta), state, theta)


@pytest.fixture(scope="module")
def moved(m: LearnedOptimizer) -> tuple[Any, Any]:
    return eqx.filter_jit(two_steps)(m, THETA)


def structure(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x).name), tree)


def test_it_is_a_learned_optimizer_whose_arrays_are_phi(m: LearnedOptimizer) -> None:
    assert isinstance(m, LearnedOptimizer)
    phi = jax.tree.leaves(eqx.filter(m, eqx.is_array))
    assert phi
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in phi)
    assert all(np.isfinite(leaf).all() for leaf in phi)


def test_the_key_is_phi(name: str, m: LearnedOptimizer, assert_same_bits: Callable) -> None:
    assert_same_bits(make_optimizer(name, KEY), m)
    pairs = zip(
        jax.tree.leaves(m), jax.tree.leaves(make_optimizer(name, jax.random.key(1))), strict=True
    )
    assert any(not np.array_equal(a, b) for a, b in pairs)


def test_updates_have_the_structure_of_theta_and_the_state_keeps_its_own(
    m: LearnedOptimizer, moved: tuple[Any, Any]
) -> None:
    updates, state = moved
    assert structure(updates) == structure(THETA)
    assert structure(state) == structure(jax.eval_shape(m.init, THETA))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((updates, state)))
    assert any(leaf.any() for leaf in jax.tree.leaves(updates))


def test_jit_changes_nothing(
    m: LearnedOptimizer, moved: tuple[Any, Any], assert_close: Callable
) -> None:
    assert_close(two_steps(m, THETA), moved, rtol=1e-4)


@pytest.mark.parametrize("wrap", ["alone", "chain", "MultiSteps"])
def test_it_is_an_optax_transformation(
    m: LearnedOptimizer, moved: tuple[Any, Any], wrap: str, assert_close: Callable
) -> None:
    tx = m.as_optax()
    if wrap == "chain":
        tx = optax.chain(optax.identity(), tx, optax.scale(1.0))
    if wrap == "MultiSteps":
        tx = optax.MultiSteps(tx, every_k_schedule=1).gradient_transformation()
    updates, state = jax.jit(lambda theta: two_steps(tx, theta))(THETA)
    assert_close(updates, moved[0], rtol=1e-4)
    assert structure(state) == structure(jax.eval_shape(tx.init, THETA))


def test_it_takes_extra_arguments(m: LearnedOptimizer, assert_close: Callable) -> None:
    tx = m.as_optax()
    state = tx.init(THETA)
    plain = jax.jit(lambda: tx.update(THETA, state, THETA))()
    extra = jax.jit(lambda: tx.update(THETA, state, THETA, value=jnp.ones(())))()
    assert_close(extra, plain, rtol=1e-4)


def test_a_batch_is_its_members_one_by_one(m: LearnedOptimizer, assert_close: Callable) -> None:
    batch = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), THETA)
    at_once, _ = eqx.filter_jit(two_steps)(m.over_batch(), batch)
    assert_close(at_once, eqx.filter_jit(two_steps)(OverBatch(m), batch)[0], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_theta_may_be_of_low_precision(m: LearnedOptimizer, dtype: str) -> None:
    theta = jax.tree.map(lambda x: x.astype(dtype), THETA)
    updates, state = eqx.filter_jit(two_steps)(m, theta)
    assert structure(updates) == structure(theta)
    assert structure(state) == structure(jax.eval_shape(m.init, theta))


def test_an_empty_leaf_is_no_trouble(m: LearnedOptimizer) -> None:
    theta = {**THETA, "none": jnp.zeros((0, 2))}
    updates, _ = eqx.filter_jit(two_steps)(m, theta)
    assert structure(updates) == structure(theta)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))


def test_its_meta_gradient_is_finite_and_reaches_phi(m: LearnedOptimizer) -> None:
    problem = Quadratic(dimension=3)

    @eqx.filter_jit
    def slope(m: LearnedOptimizer) -> LearnedOptimizer:
        begin = start_batch(m, problem, KEY, 2)
        return eqx.filter_grad(
            lambda m: meta_loss(m, problem, begin, KEY, num_problems=2, num_steps=3)[0]
        )(m)

    leaves = jax.tree.leaves(slope(m))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert all(leaf.any() for leaf in leaves)


def test_saved_and_loaded_it_is_the_same_to_the_bit(
    name: str, m: LearnedOptimizer, tmp_path: Path, assert_same_bits: Callable
) -> None:
    save(tmp_path / "m.safetensors", m, optimizer=name)
    assert_same_bits(load(tmp_path / "m.safetensors"), m)
