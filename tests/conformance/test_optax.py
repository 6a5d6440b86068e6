"""Every learned optimizer, inside whatever Optax puts around an optimizer, is what it is alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from metadescent.registry import make_optimizer, optimizers

STEPS = 3
LEARNED = {"w": jnp.asarray([[0.5, -1.0, 2.0], [0.1, 0.0, -3.0]]), "b": jnp.asarray(0.3)}
THETA = {**LEARNED, "fixed": jnp.ones(2)}
IS_LEARNED = {"w": True, "b": True, "fixed": False}
LABELS = {name: "learned" if value else "fixed" for name, value in IS_LEARNED.items()}


FACTORS = {"inject_hyperparams": 0.5}
"""What a wrapping multiplies updates by, if not by 1."""


def only_the_learned(tx: Any) -> dict[str, Any]:
    """Wrappings of an optimizer that leave its updates' direction; those of `fixed` are 0."""
    fixed = optax.masked(optax.set_to_zero(), {k: not v for k, v in IS_LEARNED.items()})
    masked = optax.chain(optax.masked(tx, IS_LEARNED), fixed)

    @optax.inject_hyperparams
    def scaled(factor: float) -> Any:
        return optax.chain(masked, optax.scale(factor))

    return {
        "masked, in a chain": masked,
        "partition": optax.partition({"learned": tx, "fixed": optax.set_to_zero()}, LABELS),
        "MultiSteps": optax.MultiSteps(masked, every_k_schedule=1).gradient_transformation(),
        "apply_if_finite": optax.apply_if_finite(masked, max_consecutive_errors=2),
        "inject_hyperparams": scaled(factor=FACTORS["inject_hyperparams"]),
    }


def scanned(tx: Any, theta: Any, **extra: Any) -> Any:
    """Updates of all steps, under `lax.scan`, with gradients θ, θ/2, …"""
    tx = optax.with_extra_args_support(tx)

    def step(state: Any, t: jax.Array) -> Any:
        gradient = jax.tree.map(lambda x: x / (t + 1), theta)
        g, state = tx.update(gradient, state, theta, **extra)
        return state, g

    return jax.lax.scan(step, tx.init(theta), jnp.arange(STEPS))[1]


def with_a_nan(tx: Any) -> Any:
    """Updates of a step whose gradient is not finite, and the state before and after."""
    tx = optax.apply_if_finite(tx, max_consecutive_errors=2)
    _, before = tx.update(LEARNED, tx.init(LEARNED), LEARNED)
    updates, after = tx.update({**LEARNED, "b": jnp.asarray(jnp.nan)}, before, LEARNED)
    return updates, before.inner_state, after.inner_state


# Hundreds of small programs, where others have a few.
LONG = {"pictorial", "tailored"}
IN_TURN = [
    pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in optimizers()
]


@pytest.fixture(
    scope="module",
    params=[*IN_TURN, "* -> lstm", "lstm >> relative", "anytime >> proportional", "lstm >> guard"],
)
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Updates of every kind, from one compiled program."""
    tx = make_optimizer(request.param, jax.random.key(0)).as_optax()
    extra = {"value": jnp.ones(()), "unknown": jnp.zeros(3)}
    twice = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), LEARNED)

    @jax.jit
    def everything() -> dict[str, Any]:
        wrapped = {k: scanned(w, THETA, **extra) for k, w in only_the_learned(tx).items()}
        alone = scanned(tx, LEARNED)
        by_two = jax.vmap(lambda x: scanned(tx, x))(twice)
        return {"alone": alone, "vmap": by_two, "NaN": with_a_nan(tx), "wrapped": wrapped}

    return everything()


def test_inside_optax_it_is_what_it_is_alone(found: dict, assert_close: Callable) -> None:
    assert abs(found["alone"]["w"]).max() > 1e-4  # or tolerances would see nothing
    for name, updates in found["wrapped"].items():
        assert not updates["fixed"].any(), name
        learned, factor = {k: updates[k] for k in LEARNED}, FACTORS.get(name, 1.0)
        expected = {k: factor * g for k, g in found["alone"].items()}
        assert_close(learned, expected, rtol=1e-4)


def test_under_vmap_the_first_is_what_it_is_alone(found: dict, assert_close: Callable) -> None:
    first = jax.tree.map(lambda x: x[0], found["vmap"])
    assert_close(first, found["alone"], rtol=1e-4)


def test_a_step_that_is_not_finite_leaves_theta_and_h(
    found: dict, assert_same_bits: Callable
) -> None:
    updates, before, after = found["NaN"]
    assert not any(x.any() for x in jax.tree.leaves(updates))
    assert_same_bits(after, before)


def test_gradients_add_up_between_steps(assert_close: Callable) -> None:
    tx = make_optimizer("lstm(layers=(2,))", jax.random.key(0)).as_optax()
    several = optax.MultiSteps(tx, every_k_schedule=2)
    state = several.init(LEARNED)
    none, state = several.update(jax.tree.map(lambda x: x / 2, LEARNED), state, LEARNED)
    assert not any(x.any() for x in jax.tree.leaves(none))
    updates, _ = several.update(jax.tree.map(lambda x: 1.5 * x, LEARNED), state, LEARNED)
    assert_close(updates, tx.update(LEARNED, tx.init(LEARNED), LEARNED)[0])
