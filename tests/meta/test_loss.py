"""Equation 3, by hand: the value, the meta-gradient, the weights, and where gradients stop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.episode import draw, start_batch
from metadescent.descent.unrolling import start
from metadescent.meta.loss import form_for, forms, meta_loss
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(5)
PROBLEMS, STEPS = 2, 3
WEIGHTS = jnp.asarray([0.5, 0.0, 2.0])


class Noisy(Optimizee):
    """f(θ) = E (Σ (θ − c − ε)²), one ε at a time, over a θ of two leaves."""

    centre: jax.Array

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        return {"a": jax.random.normal(key, (2,)), "b": jnp.ones(())}

    def loss(self, theta: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        noise = jax.random.normal(key, (2,))
        return jnp.sum((theta["a"] - self.centre - noise) ** 2) + theta["b"] ** 4


class NoisyProblem(Problem):
    def sample(self, key: jax.Array) -> Noisy:
        return Noisy(jax.random.normal(key, (2,)))


class Talking(LearnedOptimizer):
    """A rule whose coordinates talk: −rate · ∇ / (‖∇‖ + eps)."""

    rate: jax.Array
    eps: jax.Array

    def init(self, params: Any) -> Any:
        del params
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        factor = -self.rate / (optax.tree.norm(updates) + self.eps)
        return jax.tree.map(lambda g: factor * g, updates), state


RULES: dict[str, LearnedOptimizer] = {
    "coordinatewise": LSTM((3,), key=jax.random.key(0)),
    "talking": Talking(jnp.asarray(0.3), jnp.asarray(0.1)),
}
DISTRIBUTIONS: dict[str, Problem] = {
    "deterministic": Quadratic(dimension=3),
    "stochastic": NoisyProblem(),
}


def by_hand(
    m: Any, problem: Problem, weights: jax.Array, second_derivatives: bool = False
) -> jax.Array:
    """E_f Σ w_t f(θ_t), one f and one step after another."""
    _, keys = draw(problem, KEY, PROBLEMS)
    begin = start_batch(m, problem, KEY, PROBLEMS).theta
    f_keys = jax.random.split(keys.f, PROBLEMS)
    total = jnp.zeros(())
    for b in range(PROBLEMS):
        f, theta = problem.sample(f_keys[b]), jax.tree.map(lambda x, b=b: x[b], begin)
        state = m.init(theta)
        for t in range(STEPS):
            now, then = (
                jax.random.split(jax.random.fold_in(keys.minibatch, s), PROBLEMS)[b]
                for s in (t, t + 1)
            )
            gradient = jax.grad(f.loss)(theta, now)
            if not second_derivatives:
                gradient = jax.lax.stop_gradient(gradient)
            g, state = m.update(gradient, state, theta)
            theta = optax.apply_updates(theta, g)
            total += weights[t] * f.loss(theta, then) / PROBLEMS
    return total


def value_and_slope(loss: Callable[[Any], jax.Array], m: Any) -> tuple[jax.Array, Any]:
    return eqx.filter_jit(eqx.filter_value_and_grad(loss))(m)


def ours(problem: Problem, **options: Any) -> Callable[[Any], jax.Array]:
    def loss(m: Any) -> jax.Array:
        begin = start_batch(m, problem, KEY, PROBLEMS)
        return meta_loss(m, problem, begin, KEY, num_problems=PROBLEMS, num_steps=STEPS, **options)[
            0
        ]

    return loss


@pytest.mark.parametrize(
    ("rule", "distribution", "second_derivatives"),
    [
        ("coordinatewise", "deterministic", False),
        pytest.param("coordinatewise", "stochastic", False, marks=pytest.mark.slow),
        pytest.param("coordinatewise", "stochastic", True, marks=pytest.mark.slow),
        ("talking", "stochastic", False),
        ("talking", "deterministic", True),
    ],
)
def test_value_and_meta_gradient_are_those_of_plain_loops(
    rule: str, distribution: str, second_derivatives: bool, assert_close: Callable
) -> None:
    m, problem = RULES[rule], DISTRIBUTIONS[distribution]
    options = {"weights": WEIGHTS, "second_derivatives": second_derivatives}
    expected = value_and_slope(lambda m: by_hand(m, problem, **options), m)
    assert_close(value_and_slope(ours(problem, **options), m), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("second_derivatives", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "rule", [pytest.param("coordinatewise", marks=pytest.mark.slow), "talking"]
)
def test_every_form_has_the_same_value_and_meta_gradient(
    rule: str, second_derivatives: bool, assert_close: Callable
) -> None:
    m, problem = RULES[rule], DISTRIBUTIONS["stochastic"]
    options = {"weights": WEIGHTS, "second_derivatives": second_derivatives}
    expected = value_and_slope(ours(problem, form="plain", **options), m)
    for form in forms(m, second_derivatives):
        found = value_and_slope(ours(problem, form=form, **options), m)
        assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "second_derivatives", "expected"),
    [
        ("coordinatewise", False, ("two-phase", "recompute", "plain", "segments")),
        ("coordinatewise", True, ("recompute", "plain", "segments")),
        ("talking", False, ("recompute", "plain", "segments")),
    ],
)
def test_two_phases_are_for_coordinatewise_rules_to_first_order(
    rule: str, second_derivatives: bool, expected: tuple[str, ...], sentence: Callable
) -> None:
    m = RULES[rule]
    assert forms(m, second_derivatives) == expected
    assert form_for(m, "auto", second_derivatives) == expected[0]
    if "two-phase" not in expected:
        found = "second derivatives are on" if second_derivatives else "Talking is no such rule"
        loss = ours(
            DISTRIBUTIONS["stochastic"], form="two-phase", second_derivatives=second_derivatives
        )
        assert sentence(value_and_slope, loss, m) == (
            f"the form two-phase is for coordinatewise rules to first order and {found}; "
            "try the form recompute"
        )


@pytest.mark.parametrize("rule", RULES)
def test_of_a_logarithm_the_slope_is_that_of_f_over_f(rule: str, assert_close: Callable) -> None:
    """Of one step on one f, which m sees as it is: d log(f + ε) = df / (f + ε)."""
    m, problem, epsilon = RULES[rule], DISTRIBUTIONS["deterministic"], 0.5
    begin = start_batch(m, problem, KEY, 1)

    @eqx.filter_jit
    def slope(m: Any, log: float) -> Any:
        def loss(m: Any) -> tuple[jax.Array, jax.Array]:
            L, (_, losses) = meta_loss(m, problem, begin, KEY, num_problems=1, num_steps=1, log=log)
            return L, losses[0, 0]

        return eqx.filter_value_and_grad(loss, has_aux=True)(m)

    (L, f), expected = slope(m, 0.0)
    assert float(L) == pytest.approx(float(f), rel=1e-5)
    (L, f), found = slope(m, epsilon)
    assert float(L) == pytest.approx(np.log(f + epsilon), rel=1e-5)
    expected = jax.tree.map(lambda x: x / (f + epsilon), expected)
    assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("floor", [0.0, pytest.param(0.7, marks=pytest.mark.slow)])
def test_two_phases_are_for_logarithms_too(floor: float, assert_close: Callable) -> None:
    """Each f has weights of its own: w_t / (f_t − floor + ε), and 0 where f is below the floor."""
    m, problem = RULES["coordinatewise"], DISTRIBUTIONS["deterministic"]
    options = {"weights": WEIGHTS, "log": 0.1, "floor": floor}
    expected = value_and_slope(ours(problem, form="plain", **options), m)
    found = value_and_slope(ours(problem, form="two-phase", **options), m)
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_without_weights_every_step_counts_once(assert_close: Callable) -> None:
    m, problem = RULES["coordinatewise"], DISTRIBUTIONS["deterministic"]
    expected = value_and_slope(ours(problem, weights=jnp.ones(STEPS)), m)
    assert_close(value_and_slope(ours(problem), m), expected)


@pytest.mark.parametrize("second_derivatives", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_no_gradient_flows_into_the_segment_before(rule: str, second_derivatives: bool) -> None:
    m, problem = RULES[rule], DISTRIBUTIONS["stochastic"]
    begin = start_batch(m, problem, KEY, PROBLEMS)

    def loss(theta_and_state: Any) -> jax.Array:
        theta, state = theta_and_state
        return meta_loss(
            m,
            problem,
            begin._replace(theta=theta, state=state),
            KEY,
            num_problems=PROBLEMS,
            num_steps=STEPS,
            second_derivatives=second_derivatives,
        )[0]

    for slope in jax.tree.leaves(jax.jit(jax.grad(loss))((begin.theta, begin.state))):
        assert not slope.any()


@pytest.mark.parametrize("rule", RULES)
def test_segments_go_on_where_the_one_before_ended(rule: str, assert_close: Callable) -> None:
    m, problem = RULES[rule], DISTRIBUTIONS["stochastic"]
    begin = start_batch(m, problem, KEY, PROBLEMS)

    @partial(jax.jit, static_argnums=1)
    def segment(trajectory: Any, steps: int) -> Any:
        return meta_loss(m, problem, trajectory, KEY, num_problems=PROBLEMS, num_steps=steps)[1]

    end, losses = segment(begin, 4)
    middle, first = segment(begin, 2)
    last, second = segment(middle, 2)
    assert_close(last, end)
    assert_close(jnp.concatenate([first, second]), losses)


def test_hand_designed_optimizers_have_a_meta_loss_too(assert_close: Callable) -> None:
    problem = DISTRIBUTIONS["stochastic"]
    adam = optax.adam(0.1)
    assert_close(ours(problem, weights=WEIGHTS)(adam), by_hand(adam, problem, WEIGHTS))


def test_the_key_is_the_problems(assert_same_bits: Callable) -> None:
    problem = DISTRIBUTIONS["stochastic"]
    first, again = (draw(problem, KEY, PROBLEMS)[0] for _ in range(2))
    assert_same_bits(first, again)
    other = draw(problem, jax.random.key(6), PROBLEMS)[0]
    assert not np.allclose(first.own.centre, other.own.centre)


def test_theta_0_and_the_minibatches_have_keys_of_their_own() -> None:
    problem = DISTRIBUTIONS["stochastic"]
    m = RULES["talking"]
    fs, keys = draw(problem, KEY, PROBLEMS)
    theta = start_batch(m, problem, KEY, PROBLEMS).theta["a"]
    for taken in (keys.f, keys.minibatch, keys.coordinates, KEY):
        assert not np.allclose(theta, start(m, fs, taken).theta["a"])


class Half(Optimizee):
    """A quadratic over a θ of low precision."""

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        return {
            "half": jax.random.normal(key, (3,), jnp.bfloat16),
            "single": jnp.ones(2, jnp.float32),
        }

    def loss(self, theta: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        del key
        return jnp.sum(theta["half"].astype(jnp.float32) ** 2) + jnp.sum(theta["single"] ** 2)


class HalfProblem(Problem):
    def sample(self, key: jax.Array) -> Half:
        del key
        return Half()


def test_theta_may_be_of_low_precision() -> None:
    m, problem = RULES["coordinatewise"], HalfProblem()
    begin = start_batch(m, problem, KEY, PROBLEMS)
    slope, (end, _) = eqx.filter_jit(eqx.filter_grad(meta_loss, has_aux=True))(
        m, problem, begin, KEY, num_problems=PROBLEMS, num_steps=STEPS
    )
    assert end.theta["half"].dtype == jnp.bfloat16
    assert end.theta["single"].dtype == jnp.float32
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
