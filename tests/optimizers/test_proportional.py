"""Steps by a power of θ's size, and what that is good for: widths and scales of any size."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.optimizers.chained import chain
from metadescent.optimizers.lstm import LSTM
from metadescent.optimizers.proportional import SIZE, Proportional

KEY = jax.random.key(0)
U = {"w": jax.random.normal(jax.random.key(1), (4, 3)), "b": jnp.asarray([0.5, -2.0])}
THETA = {"w": jax.random.normal(jax.random.key(2), (4, 3)), "b": jnp.asarray([3.0, 1.0])}
TINY, HUGE = 1e-8, 1e6


def rule(
    rate: float = 1.0, floor: float = TINY, power: float = 1.0, ceiling: float = HUGE
) -> Proportional:
    """The rule with φ just as given."""
    m = Proportional(ceiling=ceiling, key=KEY)
    return eqx.tree_at(lambda m: m.p, m, jnp.asarray([np.log(rate), np.log(floor), power]))


def step(m: Proportional, u: dict, theta: dict) -> dict:
    return m.update(u, m.init(theta), theta)[0]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("ceiling", [1.5, HUGE])
def test_it_is_its_formula(power: float, ceiling: float) -> None:
    m = rule(rate=0.7, floor=0.4, power=power, ceiling=ceiling)
    for name, g in step(m, U, THETA).items():
        u, theta = (np.asarray(x[name], np.float64) for x in (U, THETA))
        size = min(np.sqrt(np.mean(theta**2) + 0.4**2), ceiling)
        np.testing.assert_allclose(g, 0.7 * (size / 0.03) ** power * u, rtol=1e-5)


def test_a_tensor_of_the_size_that_is_named_moves_as_the_rule_before_says() -> None:
    theta = {"w": SIZE * jnp.ones((4, 3)), "b": SIZE * jnp.asarray([1.0, -1.0])}
    for power in (0.0, 1.0, 2.0):
        for name, g in step(rule(power=power), U, theta).items():
            np.testing.assert_allclose(g, U[name], rtol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e12])
def test_how_long_an_update_was_counts(size: float, assert_close: Callable) -> None:
    m = rule()
    longer = step(m, jax.tree.map(lambda x: size * x, U), THETA)
    assert_close(longer, jax.tree.map(lambda g: size * g, step(m, U, THETA)), atol=0.0)


def test_no_tensor_feels_another(assert_same_bits: Callable) -> None:
    m = rule()
    elsewhere = step(m, {**U, "b": -U["b"]}, {**THETA, "b": 7 * THETA["b"]})
    assert_same_bits(elsewhere["w"], step(m, U, THETA)["w"])
    assert (elsewhere["b"] != step(m, U, THETA)["b"]).all()


def test_with_a_power_of_2_layers_of_any_width_are_moved_alike() -> None:
    """Weights of 1/√n, and steps that all push one way: n of them add up to the same."""

    def pushed(n: int) -> float:
        w = jnp.where(jnp.arange(n) % 2, 1.0, -1.0) / n**0.5
        x = jnp.where(jnp.arange(n) % 3, 1.0, -1.0)
        return float(jnp.dot(x, rule(power=2.0).update(0.1 * x, (), w)[0]))

    assert [pushed(n) for n in (16, 256, 4096)] == pytest.approx([0.1 / SIZE**2] * 3, rel=1e-4)


@pytest.mark.parametrize(("power", "towards"), [(2.0, jnp.negative), (1.0, lambda x: -jnp.sign(x))])
def test_a_tensor_in_other_units_goes_the_same_way(power: float, towards: Callable) -> None:
    """f(c θ) from θ₀ / c: a gradient of c ∇ wants steps by size², its signs want steps by size."""
    m = rule(rate=1e-3, power=power)

    def losses(c: float) -> list[float]:
        def f(w: jax.Array) -> jax.Array:
            return jnp.sum((c * w - jnp.asarray([0.6, 0.1, 0.8])) ** 2)

        w, found = jnp.asarray([0.3, -0.9, 0.2]) / c, []
        for _ in range(5):
            w = w + m.update(towards(jax.grad(f)(w)), (), w)[0]
            found.append(float(f(w)))
        return found

    assert losses(100.0) == pytest.approx(losses(0.1), rel=1e-3)
    assert losses(1.0)[-1] < losses(1.0)[0]


def test_what_begins_at_zero_moves_by_the_floor() -> None:
    g = step(rule(floor=0.3, power=2.0), U, jax.tree.map(jnp.zeros_like, THETA))
    np.testing.assert_allclose(g["w"], (0.3 / SIZE) ** 2 * U["w"], rtol=1e-5)


def test_beyond_the_ceiling_nothing_grows_by_a_part_of_itself() -> None:
    m, theta, lengths = rule(ceiling=0.3), jnp.ones(3), []
    for _ in range(50):
        g, _ = m.update(jnp.ones(3), (), theta)
        theta = theta + g
        lengths.append(float(g[0]))
    assert lengths == pytest.approx([0.3 / SIZE] * 50, rel=1e-4)


def test_of_phi_an_update_depends_as_its_logarithm_says() -> None:
    """∂g/∂p = g · (1, p₂ e^{2 p₁}/s², log(s/0.03)), and beyond the ceiling the floor is nothing."""
    theta, u, floor, power = jnp.asarray([0.3, -0.4]), jnp.asarray([1.0, -2.0]), 0.2, 1.5

    def slopes(ceiling: float) -> tuple[jax.Array, np.ndarray]:
        m = rule(floor=floor, power=power, ceiling=ceiling)
        g, slope = jax.jacfwd(lambda m: (m.update(u, (), theta)[0],) * 2, has_aux=True)(m)[::-1]
        return g, np.asarray(slope.p)

    square = 0.125 + floor**2
    g, found = slopes(HUGE)
    expected = [1.0, power * floor**2 / square, 0.5 * np.log(square) - np.log(SIZE)]
    np.testing.assert_allclose(found, np.outer(g, expected), rtol=1e-4)
    g, found = slopes(0.1)
    np.testing.assert_allclose(found, np.outer(g, [1.0, 0.0, np.log(0.1 / SIZE)]), rtol=1e-4)


def test_behind_another_rule_it_is_a_factor(assert_close: Callable) -> None:
    lstm, m = LSTM((3,), key=KEY), rule()
    both = chain([lstm, m])
    (u, h), (g, (after, nothing)) = (x.update(U, x.init(THETA), THETA) for x in (lstm, both))
    assert_close(g, step(m, u, THETA))
    assert_close(after, h)
    assert nothing == ()


def test_phi_is_drawn_about_what_is_asked_for() -> None:
    keys = jax.random.split(KEY, 500)
    drawn = jax.vmap(lambda key: Proportional(2.0, 0.1, 0.5, key=key).p)(keys)
    np.testing.assert_allclose(drawn.mean(0), [np.log(2.0), np.log(0.1), 0.5], atol=0.002)
    np.testing.assert_allclose(drawn.std(0), 0.01, rtol=0.1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: rule().update(U, ()),
            "proportional measures steps by θ and was given none; pass params",
        ),
        (lambda: Proportional(rate=0.0, key=KEY), "rate is 0.0 and must be at least 1e-12"),
        (lambda: Proportional(floor=0.0, key=KEY), "floor is 0.0 and must be at least 1e-12"),
        (lambda: Proportional(power=-1.0, key=KEY), "power is -1.0 and must be from 0 to 4"),
        (lambda: Proportional(power=5.0, key=KEY), "power is 5.0 and must be from 0 to 4"),
        (lambda: Proportional(ceiling=0.0, key=KEY), "ceiling is 0.0 and must be at least 1e-12"),
    ],
    ids=["params", "rate", "floor", "below", "above", "ceiling"],
)
def test_what_means_nothing_is_refused(sentence: Callable, call: Callable, says: str) -> None:
    assert sentence(call) == says
