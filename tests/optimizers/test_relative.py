"""Steps in proportion to θ, and what that is good for: f that see but the direction of θ."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.optimizers.relative import Relative

KEY = jax.random.key(0)
M = Relative(rate=0.1, floor=1e-6, ceiling=1e6, key=KEY)
RATE, FLOOR = np.exp(np.asarray(M.p))
U = {"w": jax.random.normal(jax.random.key(1), (4, 3)), "b": jnp.asarray([0.5, -2.0])}
THETA = {"w": jax.random.normal(jax.random.key(2), (4, 3)), "b": jnp.asarray([3.0, 1.0])}


def step(u: dict, theta: dict, m: Relative = M) -> dict:
    return m.update(u, m.init(theta), theta)[0]


def rms(x: jax.Array) -> float:
    return float(jnp.sqrt(jnp.mean(x * x)))


def test_each_tensor_moves_along_its_update_by_its_own_part() -> None:
    for name, g in step(U, THETA).items():
        cosine = jnp.vdot(g, U[name]) / jnp.linalg.norm(g) / jnp.linalg.norm(U[name])
        assert float(cosine) == pytest.approx(1.0, abs=1e-5)
        assert rms(g) == pytest.approx(RATE * rms(THETA[name]), rel=1e-5)


def test_it_is_larss_trust_ratio_where_no_floor_is_in_the_way() -> None:
    lars = optax.scale_by_trust_ratio(trust_coefficient=float(RATE))
    expected, _ = lars.update(U, lars.init(THETA), THETA)
    for name, g in step(U, THETA).items():
        np.testing.assert_allclose(g, expected[name], rtol=1e-4)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1e30])
def test_the_size_of_an_update_does_not_matter(size: float) -> None:
    there = step(jax.tree.map(lambda x: size * x, U), THETA)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), there, step(U, THETA))


def test_what_begins_at_zero_moves_by_the_floor() -> None:
    m = Relative(rate=0.1, floor=0.5, ceiling=1e6, key=KEY)
    rate, floor = np.exp(np.asarray(m.p))
    g = step(U, jax.tree.map(jnp.zeros_like, THETA), m)
    assert rms(g["w"]) == pytest.approx(rate * floor, rel=1e-5)


def test_under_the_longest_steps_theta_grows_no_faster_than_by_the_ceiling() -> None:
    m, theta = Relative(rate=1.0, ceiling=2.0, key=KEY), jnp.ones(3)
    for _ in range(500):
        theta = theta + m.update(jnp.ones(3), (), theta)[0]
    assert 500 < float(theta[0]) < 500 * 2.0 * 1.1


def test_no_update_is_no_step() -> None:
    assert not any(x.any() for x in step(jax.tree.map(jnp.zeros_like, U), THETA).values())


def test_behind_normalization_the_size_of_theta_does_not_matter() -> None:
    def f(w: jax.Array) -> jax.Array:
        return jnp.sum((w / jnp.linalg.norm(w) - jnp.asarray([0.6, 0.0, 0.8])) ** 2)

    def losses(size: float) -> list[float]:
        w, found = size * jnp.asarray([0.3, -0.9, 0.2]), []
        for _ in range(5):
            g, _ = M.update(jax.tree.map(jnp.negative, jax.grad(f)(w)), (), w)
            w = w + g
            found.append(float(f(w)))
        return found

    assert losses(100.0) == pytest.approx(losses(0.1), rel=1e-4)
    assert losses(1.0)[-1] < losses(1.0)[0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: M.update(U, M.init(U)),
            "relative measures steps by θ and was given none; pass params",
        ),
        (lambda: Relative(rate=0.0, key=KEY), "rate is 0.0 and must be at least 1e-12"),
        (lambda: Relative(floor=0.0, key=KEY), "floor is 0.0 and must be at least 1e-12"),
        (lambda: Relative(ceiling=0.0, key=KEY), "ceiling is 0.0 and must be at least 1e-12"),
    ],
    ids=["params", "rate", "floor", "ceiling"],
)
def test_what_means_nothing_is_refused(sentence, call, says) -> None:
    assert sentence(call) == says
