"""Baselines: Torch7's, told once, and one compiled program for all rates of one."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.baselines import BASELINES, STANDARD, VARIANTS, baseline_of
from metadescent.descent.curves import learning_curves
from metadescent.problems.base import Optimizee, Problem

KEY = jax.random.key(0)
SIZES = {"num_steps": 6, "num_seeds": 2}
TRACED: list[int] = []


class Bowl(Optimizee):
    """f(θ) = ‖θ‖⁴, which notes every time that it is traced."""

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        TRACED.append(1)
        return jnp.sum(theta**2) ** 2


class Bowls(Problem):
    def sample(self, key: jax.Array) -> Bowl:
        return Bowl()


@pytest.mark.parametrize("name", BASELINES)
def test_all_rates_share_one_program(name: str) -> None:
    slow, quick = (BASELINES[name].at(rate) for rate in (0.001, 0.01))
    curves = learning_curves(slow, Bowls(), KEY, **SIZES)
    before = len(TRACED)
    assert not np.array_equal(learning_curves(quick, Bowls(), KEY, **SIZES), curves)
    assert len(TRACED) == before


@pytest.mark.parametrize(
    ("name", "dtype"),
    # To search along a line takes long to compile.
    [*((name, jnp.float32) for name in BASELINES), *((name, jnp.bfloat16) for name in STANDARD)],
)
def test_at_a_rate_it_is_what_optax_makes_of_the_rate(name: str, dtype: Any) -> None:
    theta = jnp.asarray([1.0, -2.0], dtype)

    @eqx.filter_jit
    def two_steps(rule: Any) -> Any:
        def step(carry: Any, _: None) -> Any:
            theta, state = carry
            value, gradient = jax.value_and_grad(loss)(theta)
            extra = {"value": value, "grad": gradient, "value_fn": loss}
            g, state = rule.update(gradient, state, theta, **extra)
            return (theta + g, state), None

        return jax.lax.scan(step, (theta, rule.init(theta)), length=2)[0][0]

    made = optax.with_extra_args_support(MADE[name](0.1))
    moved, by_hand = (two_steps(rule) for rule in (BASELINES[name].at(0.1), made))
    # A rate that is traced is rounded elsewhere.
    rtol = 1e-5 if dtype == jnp.float32 else 1e-2
    # In half the precision θ stays in it, else the loop would have refused.
    assert moved.dtype == by_hand.dtype == dtype
    np.testing.assert_allclose(moved.astype(float), by_hand.astype(float), rtol=rtol, atol=rtol)


def loss(theta: jax.Array) -> jax.Array:
    return jnp.sum(theta**2) ** 2


# As the paper's: Torch7's other values. L-BFGS has Optax's.
MADE = {
    "sgd": optax.sgd,
    "nag": lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False),
    "adam": optax.adam,
    # Without a horizon the rate stays.
    "adamw": optax.adamw,
    "lbfgs": optax.lbfgs,
}


def test_the_papers_four_take_minibatches() -> None:
    assert STANDARD == ("sgd", "nag", "rmsprop", "adam")
    assert not any(BASELINES[name].searches_along_line for name in STANDARD)


def test_each_has_a_look_of_its_own() -> None:
    for look in ("label", "color", "dashes"):
        assert len({getattr(baseline, look) for baseline in BASELINES.values()}) == len(BASELINES)


def test_names_are_read_without_jax() -> None:
    program = (
        "import sys; from metadescent.descent.baselines import BASELINES, STANDARD;"
        "assert 'adam' in BASELINES;"
        "assert not {'jax', 'optax', 'equinox', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def torch7_sgd(slope: Callable, x: float, rate: float, steps: int) -> list[float]:
    xs = []
    for _ in range(steps):
        x -= rate * slope(x)
        xs.append(x)
    return xs


def torch7_nag(slope: Callable, x: float, rate: float, steps: int) -> list[float]:
    """optim.nag: the gradient is taken where momentum leads, and those points are listed."""
    velocity, xs = 0.0, []
    for _ in range(steps + 1):
        ahead = x + 0.9 * velocity
        xs.append(ahead)
        velocity = 0.9 * velocity - rate * slope(ahead)
        x += velocity
    return xs[1:]


def torch7_rmsprop(slope: Callable, x: float, rate: float, steps: int) -> list[float]:
    mean_square, xs = 0.0, []
    for _ in range(steps):
        mean_square = 0.99 * mean_square + 0.01 * slope(x) ** 2
        x -= rate * slope(x) / (mean_square**0.5 + 1e-8)
        xs.append(x)
    return xs


def torch7_adam(slope: Callable, x: float, rate: float, steps: int) -> list[float]:
    mean = mean_square = 0.0
    xs = []
    for t in range(1, steps + 1):
        mean = 0.9 * mean + 0.1 * slope(x)
        mean_square = 0.999 * mean_square + 0.001 * slope(x) ** 2
        corrected = rate * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
        x -= corrected * mean / (mean_square**0.5 + 1e-8)
        xs.append(x)
    return xs


TORCH7 = {"sgd": torch7_sgd, "nag": torch7_nag, "rmsprop": torch7_rmsprop, "adam": torch7_adam}


# Optax's Adam adds ε after the correction for bias and Torch7's before, which tells near ε only.
@pytest.mark.parametrize(
    ("name", "scale"), [*((name, 1.0) for name in STANDARD), ("rmsprop", 1e-6)]
)
def test_baselines_step_as_torch7s_do(name: str, scale: float) -> None:
    rate, steps = 0.1, 4

    def slope(x: float) -> float:
        return scale * (2 * x + 1)

    tx = BASELINES[name].at(rate)
    x = jnp.asarray(0.0)
    state, xs = tx.init(x), []
    for _ in range(steps):
        update, state = tx.update(jnp.asarray(slope(x)), state, x)
        x = optax.apply_updates(x, update)
        xs.append(float(x))
    expected = TORCH7[name](slope, 0.0, rate, steps)
    np.testing.assert_allclose(xs, expected, rtol=1e-5)


def test_the_rate_of_adamw_goes_down_by_half_a_cosine_over_the_horizon() -> None:
    # Of a constant gradient Adam makes steps of the rate, but for ε.
    tx, ones = BASELINES["adamw"].at(0.1, 10), jnp.asarray(0.0)
    state, steps = tx.init(ones), []
    for _ in range(12):
        update, state = tx.update(jnp.asarray(1.0), state, ones)
        steps.append(-float(update))
    expected = [0.05 * (1 + np.cos(np.pi * min(t / 10, 1))) for t in range(12)]
    np.testing.assert_allclose(steps, expected, rtol=1e-4, atol=1e-6)


def test_nag_goes_down_by_the_same_cosine() -> None:
    """Its steps are those of NAG, each by its own rate."""
    tx, twin = baseline_of("nag-cosine").at(0.1, 10), BASELINES["nag"].at(1.0)
    h, its = tx.init(jnp.asarray(0.0)), twin.init(jnp.asarray(0.0))
    for t in range(12):
        update, h = tx.update(jnp.asarray(1.0), h)
        whole, its = twin.update(jnp.asarray(1.0), its)
        rate = 0.05 * (1 + np.cos(np.pi * min(t / 10, 1)))
        assert float(update) == pytest.approx(rate * float(whole), rel=1e-5, abs=1e-7)


def test_variants_differ_from_a_baseline_in_a_value_and_are_not_among_them() -> None:
    assert set(VARIANTS).isdisjoint(BASELINES)
    assert baseline_of("rmsprop") is BASELINES["rmsprop"]

    def first(rule: Any) -> float:
        return float(rule.update(jnp.asarray(3.0), rule.init(jnp.asarray(0.0)))[0])

    # g / √((1 − decay) g²), as there is no correction of the bias.
    for name, decay in (("rmsprop-0.9", 0.9), ("rmsprop", 0.99)):
        assert first(baseline_of(name).at(0.1)) == pytest.approx(-0.1 / np.sqrt(1 - decay))
