"""Tailored: invariances, Newton's speed without a search, steps taken back, own coordinates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.optimizers.tailored.tailored import Tailored

KEY = jax.random.key(0)
CURVATURES = jnp.asarray([1.0, 10.0, 100.0])
START = jnp.asarray([1.0, -2.0, 3.0])


def descend(
    m: Tailored, gradient: Callable[[Any], Any], theta: jax.Array = START, steps: int = 40
) -> tuple[jax.Array, Any]:
    """θ_1 … θ_T, and h at the end."""

    @jax.jit
    def run(m: Tailored, theta: jax.Array) -> Any:
        def step(carry: Any, _: None) -> Any:
            theta, h = carry
            g, h = m.update(gradient(theta), h, theta)
            return (theta + g, h), theta + g

        (_, h), seen = jax.lax.scan(step, (theta, m.init(theta)), length=steps)
        return seen, h

    return run(m, theta)


def bowl(theta: jax.Array) -> jax.Array:
    return CURVATURES * theta


@pytest.fixture(scope="module")
def m() -> Tailored:
    return Tailored(units=4, key=KEY)


@pytest.fixture(scope="module")
def path(m: Tailored) -> jax.Array:
    return descend(m, bowl)[0]


def test_it_is_at_the_minimum_of_a_bowl_soon_and_stays(path: jax.Array) -> None:
    assert float(jnp.abs(path[25:]).max()) < 1e-3


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e3, 1e30])
def test_the_scale_of_f_changes_nothing(m: Tailored, path: jax.Array, factor: float) -> None:
    scaled = descend(m, lambda theta: factor * bowl(theta))[0]
    np.testing.assert_allclose(scaled[:15], path[:15], rtol=1e-3, atol=1e-5)


def test_the_order_of_coordinates_changes_nothing(m: Tailored, path: jax.Array) -> None:
    turned = descend(m, lambda theta: CURVATURES[::-1] * theta, START[::-1])[0]
    np.testing.assert_allclose(turned[:15, ::-1], path[:15], rtol=1e-3, atol=1e-5)


def test_a_step_that_led_too_far_is_taken_back_along_itself(m: Tailored) -> None:
    # A wall: beyond 2 the slope is a thousand times what it was.
    def wall(theta: jax.Array) -> jax.Array:
        return jnp.where(theta > 2.0, 1e3, -1.0)

    seen, _ = descend(m, wall, jnp.asarray([1.9]), steps=12)
    steps = jnp.diff(seen[:, 0], prepend=1.9)
    over = int(jnp.argmax(seen[:, 0] > 2.0))
    assert seen[over, 0] > 2.0
    assert 0 > steps[over + 1] >= -0.9 * steps[over] * (1 + 1e-5)


def test_where_f_is_nan_it_goes_back_and_on(m: Tailored) -> None:
    def cliff(theta: jax.Array) -> jax.Array:
        # f = θ − log θ has no value, and so no gradient, below 0.
        return jnp.where(theta > 0.0, 1 - 1 / theta, jnp.nan)

    seen, h = descend(m, cliff, jnp.asarray([3.0, 0.05]), steps=60)
    np.testing.assert_allclose(seen[-1], 1.0, atol=1e-2)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(h))


def test_without_a_guard_nothing_is_taken_back() -> None:
    _, h = descend(Tailored(units=4, guard=False, memory=0, key=KEY), lambda x: 1e3 * x**3)
    assert float(h.steps) == 40


def test_own_coordinates_begin_as_theta_s_are(path: jax.Array) -> None:
    """Of one pair of steps BFGS is L-BFGS; of more, each has a scale of its own."""
    own = descend(Tailored(3, units=4, key=KEY), bowl)[0]
    np.testing.assert_allclose(own[:3], path[:3], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(own[-1], path[-1], atol=1e-4)


def test_in_coordinates_of_its_own_it_is_itself() -> None:
    """θ = B ϑ: with B it does on f(θ) what it does without on f(B ϑ)."""
    plain, metric = Tailored(3, units=4, key=KEY), 0.3 * jax.random.normal(KEY, (3, 3))
    sizes = -0.5 * jnp.log(CURVATURES)
    m = Tailored(3, units=4, key=KEY)
    m = eqx.tree_at(lambda m: (m.sizes, m.metric), m, (sizes, metric))
    B = (jnp.eye(3) + metric) @ jnp.diag(jnp.exp(sizes))
    expected = descend(plain, lambda own: B.T @ bowl(B @ own))[0][:10] @ B.T
    np.testing.assert_allclose(descend(m, bowl, B @ START)[0][:10], expected, rtol=1e-3, atol=1e-4)


def test_the_first_step_may_be_learned(path: jax.Array) -> None:
    m = Tailored(3, units=4, scale=0.5, key=KEY)
    there = eqx.tree_at(lambda m: m.begin, m, jnp.asarray([1.0, 2.0, 3.0]))
    plain, moved = (descend(rule, bowl, steps=1)[0][0] for rule in (m, there))
    np.testing.assert_allclose(moved - plain, jnp.asarray([0.5, 1.0, 1.5]), rtol=1e-5)


def test_another_number_of_coordinates_is_refused() -> None:
    m = Tailored(3, units=4, key=KEY)
    with pytest.raises(UserError, match="made for θ of 3 coordinates and was given one of 4;"):
        m.init({"a": jnp.zeros(2), "b": jnp.zeros(2)})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"coordinates": -1}, "coordinates is -1"),
        ({"units": 0}, "units is 0"),
        ({"betas": ()}, "betas is empty"),
        ({"betas": (1.0,)}, "a beta is 1"),
        ({"memory": -1}, "memory is -1"),
        ({"horizon": 0.0}, "horizon is 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Tailored(**options, key=KEY)


def test_it_begins_at_a_multiple_of_theta_where_it_is_to(m: Tailored) -> None:
    begun = eqx.tree_at(
        lambda m: m.begin_at, m, jnp.log(jnp.asarray(0.5)), is_leaf=lambda x: x is None
    )
    seen, _ = descend(begun, bowl, steps=11)
    np.testing.assert_allclose(seen[0], 0.5 * START, rtol=1e-6)
    # All else is as if it had begun there.
    # Another program than above, which may round otherwise.
    np.testing.assert_allclose(seen[1:], descend(m, bowl, seen[0], steps=10)[0], rtol=1e-5)
    assert Tailored(start=0.5, key=KEY).begin_at == begun.begin_at


def test_it_says_that_it_needs_theta_for_that(sentence: Callable) -> None:
    m = Tailored(start=0.5, key=KEY)
    assert sentence(m.update, START, m.init(START)) == (
        "the optimizer begins with a multiple of θ, and was not given it; try "
        "optimizer.update(gradient, state, params)"
    )
