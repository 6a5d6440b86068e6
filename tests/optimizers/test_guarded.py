"""The guard: it is the rule where steps are sound, and the safe rule where they are not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadescent.descent.episode import start_batch
from metadescent.meta.loss import meta_loss
from metadescent.optimizers import Guarded, LearnedOptimizer
from metadescent.optimizers.base import OverBatch
from metadescent.optimizers.horizon import for_steps
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import make_optimizer
from metadescent.zoo.file import load, save

KEY = jax.random.key(0)
THETA = {"w": jnp.asarray([[0.5, -1.0, 2.0], [0.1, 0.0, -3.0]]), "b": jnp.zeros(4)}
SIZE = {"w": float(np.sqrt(np.mean(np.square(THETA["w"])) + 1 / 3)), "b": 1.0}
STEPS = 6
KINDS = [
    "lstm(layers=(3,))",
    "rnnprop(layers=(3,))",
    "lstm-gac(layers=(3,), averaging=1)",
    "lstm(layers=(3,)) >> relative",
    "blend",
]


class Steered(LearnedOptimizer):
    """Momentum, whose g and h the caller may multiply by anything."""

    p: jax.Array

    def init(self, params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        h = jax.tree.map(lambda m, x: 0.5 * m + x, state, updates)
        g = jax.tree.map(lambda m: -self.p * m, h)
        g, h = ({**x, "w": x["w"] * extra.get(k, 1.0)} for k, x in (("g", g), ("h", h)))
        return g, h


STEERED = Steered(jnp.asarray(0.1))
GRADIENT = {"w": jnp.asarray([[1.0, -2.0, 0.0], [3.0, -1e-6, 1e3]]), "b": jnp.full(4, -0.01)}
# One coordinate of w alone, so that the guard has to look at each.
BAD = jnp.ones((2, 3)).at[1, 0].set(jnp.nan)
NAN = {**GRADIENT, "b": jnp.asarray([0.0, jnp.nan, 1.0, 1.0])}


def gradients() -> Any:
    keys = jax.random.split(jax.random.key(1), 2)
    return {
        k: jax.random.normal(key, (STEPS, *x.shape))
        for key, (k, x) in zip(keys, THETA.items(), strict=True)
    }


def descent(m: Any, stream: Any, theta: Any = THETA) -> Any:
    """Updates and states of all steps, in one program."""

    @eqx.filter_jit
    def run(m: Any, stream: Any, theta: Any) -> Any:
        def step(carry: Any, gradient: Any) -> Any:
            h, theta = carry
            g, h = m.update(gradient, h, theta)
            return (h, jax.tree.map(jnp.add, theta, g)), (g, h)

        return jax.lax.scan(step, (m.init(theta), theta), stream)[1]

    return run(m, stream, theta)


def safe(gradient: Any, replaced: dict[str, int], rate: float = 0.03) -> Any:
    """The safe step, by its equation, given the steps that were replaced before."""
    return {
        k: -rate / np.sqrt(1 + replaced[k] / 100) * SIZE[k] * np.sign(x)
        for k, x in gradient.items()
    }


def counts(state: Any) -> dict[str, int]:
    return jax.tree.map(int, state.replaced)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_step_that_is_unsafe_it_is_the_rule_bit_for_bit(
    kind: str, assert_same_bits: Callable, assert_close: Callable
) -> None:
    # Of hundreds of small operations XLA brings others together where the program is another.
    agree = assert_close if kind == "blend" else assert_same_bits
    m = make_optimizer(kind, KEY)
    guarded = Guarded(m, limit=1e9)
    state = guarded.init(THETA)
    update, guarded_update = (eqx.filter_jit(rule.update) for rule in (m, guarded))
    for t in range(STEPS):
        gradient = jax.tree.map(lambda x, t=t: x[t], gradients())
        expected = update(gradient, state.rule, THETA)
        g, state = guarded_update(gradient, state, THETA)
        agree((g, state.rule), expected)
    assert counts(state) == {"b": 0, "w": 0}
    assert int(state.not_finite) == 0


@pytest.mark.parametrize("factor", [BAD, BAD * jnp.inf, jnp.inf, jnp.nan])
@pytest.mark.parametrize("which", ["g", "h"])
def test_what_is_not_finite_is_replaced_everywhere_and_h_begins_anew(
    which: str, factor: Any, assert_close: Callable, assert_same_bits: Callable
) -> None:
    m = Guarded(STEERED)
    _, state = m.update(GRADIENT, m.init(THETA), THETA)
    g, state = m.update(GRADIENT, state, THETA, **{which: factor})
    # The first step of w was 1000 · 0.1.
    assert_close(g, safe(GRADIENT, {"b": 0, "w": 1}))
    assert counts(state) == {"b": 1, "w": 2}
    assert int(state.not_finite) == 0
    assert_same_bits(state.rule, STEERED.init(THETA))


def test_what_is_too_long_is_replaced_in_its_tensor_and_h_goes_on(
    assert_close: Callable, assert_same_bits: Callable
) -> None:
    gradient = {"w": jnp.ones((2, 3)), "b": jnp.ones(4)}
    m, state = Guarded(STEERED), Guarded(STEERED).init(THETA)
    for t in range(3):
        plain, h = STEERED.update(gradient, state.rule, THETA, g=1e3)
        g, state = m.update(gradient, state, THETA, g=1e3)
        assert_close(g, {**plain, "w": safe(gradient, {"b": 0, "w": t})["w"]})
        assert_same_bits(state.rule, h)
    assert counts(state) == {"b": 0, "w": 3}


@pytest.mark.parametrize("limit", [0.1, 0.5, 2.0])
def test_the_limit_is_a_part_of_the_size(limit: float) -> None:
    unit = {"w": jnp.ones((2, 3)), "b": jnp.ones(4)}
    for k, other in (("w", "b"), ("b", "w")):
        for factor, expected in ((0.999, 0), (1.001, 1)):
            m = Guarded(Steered(jnp.asarray(limit * SIZE[k] * factor)), limit=limit)
            gradient = {k: unit[k], other: jnp.zeros_like(unit[other])}
            _, state = m.update(gradient, m.init(THETA), THETA)
            assert counts(state) == {k: expected, other: 0}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_gradient_that_is_not_finite_changes_nothing_but_the_count(
    kind: str, bad: float, assert_same_bits: Callable
) -> None:
    m = Guarded(make_optimizer(kind, KEY))
    before = m.init(THETA)
    given = {**GRADIENT, "b": jnp.asarray([0.0, bad, 1.0, 1.0])}
    g, after = m.update(given, before, THETA)
    assert_same_bits(g, jax.tree.map(jnp.zeros_like, THETA))
    assert int(after.not_finite) == 1
    assert_same_bits(after._replace(not_finite=before.not_finite), before)


NUMBERS = st.sampled_from([0.0, 1.0, -1e-3, 1e-30, 1e18, -1e25, 3e38, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(st.lists(st.lists(NUMBERS, min_size=10, max_size=10), min_size=STEPS, max_size=STEPS))
def test_h_and_theta_are_finite_and_steps_bounded_whatever_comes(kind: str, rows: Any) -> None:
    row = jnp.asarray(rows, jnp.float32)
    stream = {"w": row[:, :6].reshape(STEPS, 2, 3), "b": row[:, 6:]}
    g, state = descent(Guarded(make_optimizer(kind, KEY)), stream)
    for leaf in jax.tree.leaves((g, state)):
        assert np.isfinite(leaf).all()
    theta = jax.tree.map(np.asarray, THETA)
    for t in range(STEPS):
        for k, n in (("w", 3), ("b", 1)):
            size = np.sqrt(np.mean(theta[k] ** 2) + 1 / n)
            assert np.sqrt(np.mean(np.square(g[k][t]))) <= 0.5001 * size
        theta = {k: theta[k] + np.asarray(g[k][t]) for k in theta}
    finite = np.isfinite(np.asarray(rows)).all(1)
    assert int(state.not_finite[-1]) == np.sum(~finite)


def test_the_safe_step_does_not_depend_on_the_scale_of_f(assert_same_bits: Callable) -> None:
    m = Guarded(STEERED)
    once, twice = (
        m.update(jax.tree.map(lambda x, c=c: c * x, GRADIENT), m.init(THETA), THETA, g=jnp.nan)
        for c in (1.0, 1e-20)
    )
    assert_same_bits(once[0], twice[0])


def test_under_vmap_each_has_a_guard_of_its_own(assert_close: Callable) -> None:
    m = Guarded(STEERED)
    given = jax.tree.map(lambda *x: jnp.stack(x), GRADIENT, NAN, {**GRADIENT, "w": THETA["w"]})
    theta = jax.tree.map(lambda x: jnp.stack([x, 2 * x, x]), THETA)
    together = m.over_batch()
    g, state = together.update(given, together.init(theta), theta)
    for k in range(3):
        one = jax.tree.map(lambda x, k=k: x[k], (given, theta))
        alone = m.update(one[0], m.init(one[1]), one[1])
        assert_close(jax.tree.map(lambda x, k=k: x[k], (g, state)), alone)
    assert isinstance(together, OverBatch)
    assert state.not_finite.tolist() == [0, 1, 0]


def test_it_is_the_same_outside_a_program(assert_close: Callable) -> None:
    m = Guarded(make_optimizer("rnnprop(layers=(3,))", KEY))
    once = m.update(GRADIENT, m.init(THETA), THETA)
    assert_close(once, eqx.filter_jit(m.update)(GRADIENT, m.init(THETA), THETA))


def slope(m: LearnedOptimizer, steps: int = 4) -> LearnedOptimizer:
    problem = Quadratic(dimension=3)

    @eqx.filter_jit
    def of(m: LearnedOptimizer) -> LearnedOptimizer:
        begin = start_batch(m, problem, KEY, 2)
        return eqx.filter_grad(
            lambda m: meta_loss(m, problem, begin, KEY, num_problems=2, num_steps=steps)[0]
        )(m)

    return of(m)


def test_its_meta_gradient_is_the_rules_where_nothing_is_replaced(assert_close: Callable) -> None:
    m = make_optimizer("rnnprop(layers=(3,))", KEY)
    plain, guarded = slope(m), slope(Guarded(m, limit=1e9))
    assert_close(guarded.rule, plain, rtol=1e-4)
    assert all(leaf.any() for leaf in jax.tree.leaves(plain))


def test_steps_that_were_replaced_have_no_part_in_the_meta_gradient() -> None:
    m = slope(Guarded(make_optimizer("rnnprop(layers=(3,))", KEY), limit=1e-12))
    assert not any(leaf.any() for leaf in jax.tree.leaves(m))


def test_a_gradient_of_nan_leaves_the_meta_gradient_finite() -> None:
    m = Guarded(make_optimizer("rnnprop(layers=(3,))", KEY))
    given = jax.tree.map(lambda *x: jnp.stack(x), GRADIENT, NAN)
    theta = jax.tree.map(lambda x: jnp.stack([x, x]), THETA)

    @eqx.filter_grad
    def total(m: LearnedOptimizer) -> jax.Array:
        together = m.over_batch()
        g, _ = together.update(given, together.init(theta), theta)
        return jnp.sum(g["b"])

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(total(m)))


@pytest.mark.parametrize(
    "spec",
    [
        "rnnprop(layers=(3,)) >> guard",
        "lstm(layers=(3,)) >> relative >> guard(limit=0.25, rate=0.01)",
        "conv/* -> lstm(layers=(2,)) >> guard + * -> blend(horizon=50.0)",
    ],
)
def test_saved_and_loaded_it_is_the_same(
    spec: str, tmp_path: Path, assert_same_bits: Callable
) -> None:
    m = make_optimizer(spec, KEY)
    save(tmp_path / "m.safetensors", m)
    assert_same_bits(load(tmp_path / "m.safetensors"), m)


def test_behind_a_rule_it_has_the_rules_phi(assert_same_bits: Callable) -> None:
    m = make_optimizer("lstm(layers=(3,)) >> guard", KEY)
    assert isinstance(m, Guarded)
    assert_same_bits(m.rule, make_optimizer("lstm(layers=(3,))", KEY))


def test_it_hands_on_what_is_asked_of_the_rule() -> None:
    m = Guarded(make_optimizer("lstm(p=5.0)", KEY))
    assert m.threshold() == m.rule.threshold() > 0
    paced = Guarded(make_optimizer("lstm >> pace(horizon=10.0)", KEY))
    assert for_steps(paced, 70).rule.rules[1].horizon == 70


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: make_optimizer("guard", KEY),
            "guard stands behind the rules that it guards; try lstm >> guard",
        ),
        (
            lambda: make_optimizer("lstm >> guard >> pace", KEY),
            "guard stands behind the rules that it guards; try lstm >> guard",
        ),
        (
            lambda: make_optimizer("lstm >> guard(rule=3)", KEY),
            "guard has no option 'rule'; known are limit, rate",
        ),
        (lambda: Guarded(STEERED, limit=0.0), "limit is 0.0 and must be at least 1e-12"),
        (lambda: Guarded(STEERED, rate=-1.0), "rate is -1.0 and must be at least 1e-12"),
        (
            lambda: Guarded(STEERED).update(THETA, Guarded(STEERED).init(THETA)),
            "guard measures steps by θ and was given none; pass params",
        ),
        (
            lambda: save("x", Guarded(make_optimizer("* -> lstm(layers=(2,))", KEY))),
            "a partition with a guard has no specification; guard each of its rules, as in "
            "'conv/* -> lstm >> guard + * -> lstm >> guard'",
        ),
    ],
    ids=["alone", "inside", "option", "limit", "rate", "no θ", "partition"],
)
def test_what_it_cannot_be_is_refused(sentence: Callable, call: Callable, says: str) -> None:
    assert sentence(call) == says
