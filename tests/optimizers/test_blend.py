"""A blend of directions: what it does not see, how far it goes, and what stays."""

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent._errors import UserError
from metadescent.optimizers.blend import Blend
from metadescent.optimizers.blend_constants import (
    BY_ASPECT,
    BY_DEPTH,
    FAINT,
    KAPPA,
    STEPS,
    TAU,
    WARM_UP,
)
from metadescent.optimizers.blend_figures import Figures
from metadescent.optimizers.horizon import for_steps

KEY = jax.random.key(0)
M = Blend(horizon=40.0, key=KEY)
THETA = {"w": jax.random.normal(jax.random.key(1), (6, 5)), "b": jnp.zeros(5), "none": jnp.zeros(0)}


def run(m: Blend, theta: dict, scale: float = 1.0, steps: int = 40) -> list[dict]:
    """θ on the way down a bowl whose values are `scale` times as large."""
    centre = jax.tree.map(lambda x: jnp.ones_like(x), theta)
    h, way = m.init(theta), [theta]
    update = jax.jit(lambda *words: m.update(*words))
    for _ in range(steps):
        gradient = jax.tree.map(lambda x, c: scale * (x - c), way[-1], centre)
        g, h = update(gradient, h, way[-1])
        way.append(optax.apply_updates(way[-1], g))
    return way


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_f_does_not_matter(scale: float) -> None:
    for a, b in zip(run(M, THETA), run(M, THETA, scale), strict=True):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-3, atol=1e-4), a, b)


def test_it_goes_down_a_bowl() -> None:
    way = run(Blend(horizon=300.0, key=KEY), THETA, steps=300)
    far = [float(sum(jnp.sum((x - 1) ** 2) for x in jax.tree.leaves(theta))) for theta in way]
    assert far[-1] < 0.05 * far[0]


def test_a_step_is_a_part_of_the_size_of_its_tensor() -> None:
    rate, floor = np.exp(np.asarray(M.p))
    gradient = jax.tree.map(lambda x: jax.random.normal(KEY, x.shape), THETA)
    g, _ = M.update(gradient, M.init(THETA), THETA)
    # One step of 40 is within the first twentieth, and lengths have hardly changed by then.
    share = 1 / 41 / WARM_UP
    for name in "wb":
        size = np.sqrt(np.mean(np.square(THETA[name])) + floor**2)
        step = np.sqrt(np.mean(np.square(g[name])))
        assert step == pytest.approx(rate * share * size, rel=0.15)


def first_step(theta: list[jax.Array]) -> float:
    """How far the first tensor goes, beside its size, of an untrained network that says nothing."""
    silent = eqx.tree_at(lambda m: m.W_2, M, jnp.zeros_like(M.W_2))
    silent = eqx.tree_at(lambda m: m.p, silent, silent.p.at[1].set(-20.0))
    gradient = [jax.random.normal(KEY, x.shape) for x in theta]
    g, _ = silent.update(gradient, silent.init(theta), theta)
    return float(jnp.sqrt(jnp.mean(g[0] ** 2) / jnp.mean(theta[0] ** 2)))


def test_deep_networks_and_long_matrices_take_shorter_steps() -> None:
    square, wide = jnp.full((4, 4), 0.5), jnp.full((4, 36), 0.5)
    alone = first_step([square])
    assert first_step([square] * 9) == pytest.approx(alone * 9**-BY_DEPTH, rel=1e-3)
    assert first_step([wide]) == pytest.approx(alone * 3**-BY_ASPECT, rel=1e-3)
    assert first_step([wide.T]) == pytest.approx(first_step([wide]), rel=1e-3)


@pytest.mark.parametrize("horizon", [100.0, 500.0, 2000.0])
def test_a_length_changes_less_in_a_step_of_a_long_run(horizon: float) -> None:
    m = Blend(horizon=horizon, key=KEY)
    m = eqx.tree_at(lambda m: (m.W_2, m.b_2), m, (0 * m.W_2, m.b_2.at[-1].set(10.0)))
    theta = [jnp.ones(3)]
    _, h = m.update([jnp.ones(3)], m.init(theta), theta)
    length = Figures(*h.figures.T).length[0]
    assert length == pytest.approx(KAPPA * min(1.0, (500 / horizon) ** 0.5), rel=1e-5)


def test_the_last_steps_are_the_shortest() -> None:
    way = [np.asarray(theta["b"]) for theta in run(M, THETA)]
    steps = [np.abs(b - a).max() for a, b in pairwise(way)]
    assert steps[-1] < 0.05 * max(steps)


def test_what_never_had_a_gradient_stays() -> None:
    gradient = {"w": jnp.ones((6, 5)).at[2, 3].set(0.0).at[4].set(0.0)}
    theta, h = {"w": THETA["w"]}, M.init({"w": THETA["w"]})
    for _ in range(3):
        g, h = M.update(gradient, h, theta)
        theta = optax.apply_updates(theta, g)
    moved = np.asarray(theta["w"] != THETA["w"])
    np.testing.assert_array_equal(moved, np.asarray(gradient["w"] != 0))


def test_of_no_gradient_at_all_nothing_moves() -> None:
    zeros = jax.tree.map(jnp.zeros_like, THETA)
    g, h = M.update(zeros, M.init(THETA), THETA)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(g))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(h))


@pytest.mark.parametrize("size", [1.0, 1e-12])
@pytest.mark.parametrize("native", [True, False])
def test_where_gradients_have_vanished_the_way_ends(
    native: bool, size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METADESCENT_NATIVE", str(int(native)))
    m, theta = Blend(horizon=1000.0, key=KEY), {"w": jnp.ones((40, 24)), "b": jnp.ones(24)}

    def step(carry: tuple, t: jax.Array) -> tuple:
        theta, h = carry
        draw = lambda x: size * jax.random.normal(jax.random.fold_in(KEY, t), x.shape)  # noqa: E731
        gradient = jax.tree.map(lambda x: jnp.where(t < 20, draw(x), 0.0), theta)
        g, h = m.update(gradient, h, theta)
        return (optax.apply_updates(theta, g), h), g

    # Long enough for the means to be denormal, and then 0.
    _, ways = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(900)))(
        (theta, m.init(theta))
    )
    for g in jax.tree.leaves(ways):
        lengths = np.sqrt(np.mean(np.square(g), axis=tuple(range(1, g.ndim))))
        assert np.isfinite(lengths).all()
        assert lengths[200:].sum() < 1e-2 * lengths[:20].sum()


def test_noise_alone_does_not_shorten_steps_of_many_coordinates() -> None:
    theta, m = {"many": jnp.zeros(64), "one": jnp.zeros(())}, Blend(key=KEY)
    h, shares = m.init(theta), []
    for t in range(60):
        draw = jax.random.normal(jax.random.fold_in(KEY, t), (65,))
        _, h = m.update({"many": draw[1:], "one": draw[0]}, h, theta)
        weight, square = 1 - 0.9 ** (t + 1), jax.tree.map(lambda x: jnp.mean(x**2), h.fast)
        shares.append(
            [
                (square[name] / weight**2) / (h.figures[k, 2] / weight)
                for k, name in enumerate(sorted(theta))
            ]
        )
    least = np.sqrt(np.min(shares, axis=0))
    # Of a single coordinate the mean passes 0.
    assert least[0] > FAINT > least[1]


def test_the_order_of_columns_does_not_matter() -> None:
    def turned(theta: dict) -> dict:
        return {"w": theta["w"][:, ::-1], "b": theta["b"][::-1]}

    theta = {name: THETA[name] for name in "wb"}
    gradient = jax.tree.map(lambda x: jax.random.normal(KEY, x.shape), theta)
    g, _ = M.update(gradient, M.init(theta), theta)
    other, _ = M.update(turned(gradient), M.init(turned(theta)), turned(theta))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), other, turned(g))


def test_another_number_of_steps_is_the_same_way_at_another_pace() -> None:
    short, long = Blend(horizon=20.0, key=KEY), for_steps(Blend(horizon=20.0, key=KEY), 80)
    assert long.horizon == 80
    pairs = [(short._factor, 9.5, long._factor, 39.5), (short._clock, 10.0, long._clock, 40.0)]
    for of, t, of_long, later in pairs:
        # Processors differ in the last bit of a cosine or logarithm.
        a, b = of(jnp.asarray(t)), of_long(jnp.asarray(later))
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("horizon", [500.0, 2000.0, 20000.0])
def test_a_long_run_begins_sooner_and_ends_with_shorter_steps(horizon: float) -> None:
    m, longer = Blend(horizon=horizon, key=KEY), horizon / STEPS
    c = np.asarray(jax.vmap(m._factor)(jnp.arange(horizon)))
    assert c.argmax() == pytest.approx(WARM_UP * STEPS * longer**0.5, abs=2)
    cosine = np.cos(0.25 * np.pi) ** 2
    half = c[int(horizon * (1 + WARM_UP / longer**0.5) / 2)]
    t = horizon * (1 + WARM_UP / longer**0.5) / 2
    assert half == pytest.approx(cosine * ((1 + t / longer / TAU) / (1 + t / TAU)) ** 0.5, rel=0.01)


def test_it_needs_theta() -> None:
    with pytest.raises(UserError, match="pass params"):
        M.update(THETA, M.init(THETA))
