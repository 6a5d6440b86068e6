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
BATCH = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), THETA)
# Leaves of low precision, and one without coordinates.
ODD = {
    "half": THETA["w"].astype("float16"),
    "brain": THETA["b"].astype("bfloat16"),
    "single": THETA["w"],
    "none": jnp.zeros((0, 2)),
}
EXTRA = {"value": jnp.ones(()), "unknown": jnp.zeros(3)}


# A partition, a chain and a guard have no names of their own.
# Hundreds of small programs, where others have a few.
LONG = {"pictorial", "tailored"}
IN_TURN = [
    pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in optimizers()
]


@pytest.fixture(
    scope="module",
    params=[
        *IN_TURN,
        "* -> lstm",
        "lstm >> pace",
        "lstm >> relative",
        "anytime >> proportional",
        "lstm >> guard",
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


def two_steps_in_a_loop(rule: Any, theta: Any, **extra: Any) -> tuple[Any, Any]:
    """The same, as a program that holds the rule once."""

    def step(state: Any, factor: jax.Array) -> tuple[Any, Any]:
        gradient = jax.tree.map(lambda x: factor.astype(x.dtype) * x, theta)
        g, state = rule.update(gradient, state, theta, **extra)
        return state, g

    state, updates = jax.lax.scan(step, rule.init(theta), jnp.asarray([1.0, -0.5]))
    return jax.tree.map(lambda g: g[-1], updates), state


def inside_optax(m: LearnedOptimizer) -> dict[str, Any]:
    """Wrappings of Optax's that leave updates as they are."""
    tx = m.as_optax()
    return {
        "chain": optax.chain(optax.identity(), tx, optax.scale(1.0)),
        "MultiSteps": optax.MultiSteps(tx, every_k_schedule=1).gradient_transformation(),
    }


@pytest.fixture(scope="module")
def moved(m: LearnedOptimizer) -> dict[str, tuple[Any, Any]]:
    """Updates and states that the checks look at, from one compiled program."""

    @eqx.filter_jit
    def everything(m: LearnedOptimizer) -> dict[str, tuple[Any, Any]]:
        return {
            "alone": two_steps_in_a_loop(m, THETA),
            "as_optax": two_steps_in_a_loop(m.as_optax(), THETA, **EXTRA),
            "at once": two_steps_in_a_loop(m.over_batch(), BATCH),
            "one by one": two_steps_in_a_loop(OverBatch(m), BATCH),
            "odd": two_steps_in_a_loop(m, ODD),
            **{k: two_steps_in_a_loop(tx, THETA) for k, tx in inside_optax(m).items()},
        }

    return everything(m)


def structure(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x).name), tree)


def is_finite(tree: Any) -> bool:
    return all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(tree))


def test_it_is_a_learned_optimizer_whose_arrays_are_phi(m: LearnedOptimizer) -> None:
    assert isinstance(m, LearnedOptimizer)
    phi = jax.tree.leaves(eqx.filter(m, eqx.is_array))
    assert phi
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in phi)
    assert is_finite(phi)


def test_the_key_is_phi(name: str, m: LearnedOptimizer, assert_same_bits: Callable) -> None:
    assert_same_bits(make_optimizer(name, KEY), m)
    pairs = zip(
        jax.tree.leaves(m), jax.tree.leaves(make_optimizer(name, jax.random.key(1))), strict=True
    )
    assert any(not np.array_equal(a, b) for a, b in pairs)


def test_updates_have_the_structure_of_theta_and_the_state_keeps_its_own(
    m: LearnedOptimizer, moved: dict
) -> None:
    updates, state = moved["alone"]
    assert structure(updates) == structure(THETA)
    assert structure(state) == structure(jax.eval_shape(m.init, THETA))
    assert is_finite((updates, state))
    assert any(leaf.any() for leaf in jax.tree.leaves(updates))


def test_jit_changes_nothing(m: LearnedOptimizer, moved: dict, assert_close: Callable) -> None:
    assert_close(two_steps(m, THETA), moved["alone"], rtol=1e-4)


def test_it_is_an_optax_transformation_that_takes_extra_arguments(
    m: LearnedOptimizer, moved: dict, assert_close: Callable
) -> None:
    assert_close(moved["as_optax"], moved["alone"], rtol=1e-4)
    assert structure(moved["as_optax"][1]) == structure(jax.eval_shape(m.as_optax().init, THETA))


@pytest.mark.parametrize("wrap", ["chain", "MultiSteps"])
def test_inside_optax_it_is_what_it_is_alone(
    m: LearnedOptimizer, moved: dict, wrap: str, assert_close: Callable
) -> None:
    """`test_optax.py` has more of them."""
    updates, state = moved[wrap]
    assert_close(updates, moved["alone"][0], rtol=1e-4)
    assert structure(state) == structure(jax.eval_shape(inside_optax(m)[wrap].init, THETA))


def test_a_batch_is_its_members_one_by_one(moved: dict, assert_close: Callable) -> None:
    assert_close(moved["at once"][0], moved["one by one"][0], rtol=1e-4)


def test_theta_may_be_of_low_precision_and_have_empty_leaves(
    m: LearnedOptimizer, moved: dict
) -> None:
    updates, state = moved["odd"]
    assert structure(updates) == structure(ODD)
    assert structure(state) == structure(jax.eval_shape(m.init, ODD))
    assert is_finite(updates)


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
