"""PES: the whole episode's gradient from short segments, where truncation points the wrong way."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.episode import draw, start_batch
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.pes import PES
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import meta_loss
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Optimizee, Problem

KEY = jax.random.key(0)
STEPS = 6


class Drift(LearnedOptimizer):
    """g = speed − rate · ∇: what it does early moves all that comes late."""

    speed: jax.Array
    rate: jax.Array

    def init(self, params: Any) -> Any:
        del params
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return jax.tree.map(lambda g: self.speed - self.rate * g, updates), state


class Hill(Optimizee):
    """sin(θ + a) + ν θ / 3, a new ν ~ N(0, 1) each time: who goes uphill comes down behind it."""

    a: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key) / 10

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.sin(theta + self.a) + jax.random.normal(key) * theta / 3


class Hills(Problem):
    def sample(self, key: jax.Array) -> Hill:
        a_key, _ = jax.random.split(key)
        return Hill(jax.random.normal(a_key) / 5)


class Slope(Optimizee):
    """c θ + noise · ν, from θ = 0: with `Drift`, L is linear in φ."""

    c: jax.Array
    noise: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        del key
        return jnp.zeros(())

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return self.c * theta + self.noise * jax.random.normal(key)


class Slopes(Problem):
    noise: jax.Array

    def sample(self, key: jax.Array) -> Slope:
        c_key, _ = jax.random.split(key)
        return Slope(1.0 + jax.random.uniform(c_key), self.noise)


def drift() -> Drift:
    return Drift(jnp.asarray(0.42), jnp.asarray(0.05))


def phi(m: Any) -> jax.Array:
    return jnp.stack([m.speed, m.rate])


def episode_sum(estimator: Estimator, key: jax.Array, unroll: int) -> jax.Array:
    """The sum of the estimates over an episode in which φ stays as it is."""
    m, problem = drift(), Hills()

    def segment(carry: Any, _: object) -> tuple[Any, jax.Array]:
        gradient, after, _ = estimator.estimate(m, problem, carry, key, jnp.ones(unroll))
        return after, phi(gradient)

    begin = estimator.begin(m, problem, key)
    return jax.lax.scan(segment, begin, length=STEPS // unroll)[1].sum(0)


def whole_loss(m: Drift, key: jax.Array) -> jax.Array:
    """L of a whole episode of one optimizee."""
    begin = start_batch(m, Hills(), key, 1)
    return meta_loss(
        m, Hills(), begin, key, num_problems=1, num_steps=STEPS, second_derivatives=True
    )[0]


def own(key: jax.Array) -> jax.Array:
    """The key of the only optimizee of a PES episode."""
    return jax.random.split(key, 1)[0]


@pytest.fixture(scope="module")
def keys() -> jax.Array:
    return jax.random.split(KEY, 60_000)


@pytest.fixture(scope="module")
def truth(keys: jax.Array) -> np.ndarray:
    """∇L of each episode."""
    slope = jax.jit(jax.vmap(lambda key: phi(jax.grad(whole_loss)(drift(), own(key)))))
    return np.asarray(slope(keys), np.float64)


def test_the_truth_is_that_of_finite_differences() -> None:
    with jax.enable_x64(True):
        slope = jax.jit(jax.value_and_grad(whole_loss))
        at, key, h = jnp.asarray([0.42, 0.05]), jax.random.key(3), 1e-5
        exact = phi(slope(Drift(*at), key)[1])
        for i, d in enumerate(h * jnp.eye(2)):
            up, down = (slope(Drift(*x), key)[0] for x in (at + d, at - d))
            assert float((up - down) / (2 * h)) == pytest.approx(float(exact[i]), rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("unroll", [1, 2])
def test_it_has_no_bias_where_truncation_has_the_wrong_sign(
    unroll: int, keys: jax.Array, truth: np.ndarray
) -> None:
    def off(estimator: Estimator, of: Callable) -> tuple[np.ndarray, np.ndarray]:
        """How far the mean estimate is from the mean truth, and the standard error of that."""
        found = jax.jit(jax.vmap(lambda key: episode_sum(estimator, of(key), unroll)))(keys)
        apart = np.asarray(found, np.float64) - truth
        return apart.mean(0), apart.std(0) / np.sqrt(len(apart))

    bias, error = off(PES(std=0.01), lambda key: key)
    size = np.abs(truth.mean(0))
    assert (error < size / 10).all()
    assert (np.abs(bias) <= 4 * error).all()
    truncation, _ = off(Truncated(second_derivatives=True), own)
    assert (np.abs(truncation) > 10 * error).all()
    assert truth.mean(0)[0] < 0 < (truth.mean(0) + truncation)[0]


@pytest.fixture(scope="module")
def segments() -> list[tuple[Any, Any, jax.Array]]:
    """Gradient, carry and losses of each of three segments, on noiseless slopes."""
    return on_slopes(noise=0.0)


WEIGHTS = jnp.asarray([[1.0, 0.5], [0.0, 2.0], [1.0, 1.0]])
SIGMA, PAIRS = 0.1, 3


def on_slopes(noise: float, **options: Any) -> list[tuple[Any, Any, jax.Array]]:
    m, problem = drift(), Slopes(jnp.asarray(noise))
    pes = PES(problems=PAIRS, std=SIGMA, **options)
    carry, found = pes.begin(m, problem, KEY), []
    for weights in WEIGHTS:
        gradient, carry, losses = _estimate(pes, m, problem, carry, KEY, weights)
        found.append((gradient, carry, losses))
    return found


@eqx.filter_jit
def _estimate(pes: PES, *arguments: Any) -> Any:
    return pes.estimate(*arguments)


def slopes() -> np.ndarray:
    """The c of each optimizee of the episode of `on_slopes`."""
    problem = Slopes(jnp.zeros(()))
    return np.asarray(
        [draw(problem, key, 1)[0].own.c[0] for key in jax.random.split(KEY, PAIRS)], np.float64
    )


def test_of_a_linear_loss_it_is_exactly_what_the_perturbations_say(
    segments: list[tuple[Any, Any, jax.Array]],
) -> None:
    """ξ_s Σ_i ⟨ε_i, ∂L_s/∂φ_i⟩ / σ², an early ε_i in a late L_s included."""
    c = slopes()
    xi = np.asarray([phi_rows(carry.perturbation) for _, carry, _ in segments], np.float64)
    epsilon = np.diff(xi, axis=0, prepend=0.0)
    assert (np.abs(epsilon) > 0).all()
    weights = np.asarray(WEIGHTS, np.float64)
    for s, (gradient, _, _) in enumerate(segments):
        expected = np.zeros(2)
        for pair in range(PAIRS):
            direction = np.asarray([1.0, -c[pair]])
            slope = 0.0
            for i in range(s + 1):
                # Steps made in segment i before each loss of segment s.
                made = np.asarray([1.0, 2.0]) if i == s else 2.0
                slope += (weights[s] * made).sum() * c[pair] * epsilon[i, pair] @ direction
            expected += xi[s, pair] * slope / SIGMA**2 / PAIRS
        np.testing.assert_allclose(phi(gradient), expected, rtol=1e-4, atol=1e-4)


def test_only_the_leaves_that_are_asked_for_are_perturbed() -> None:
    """Where L is linear in the rate, ξ times its slope, the other perturbations being 0."""
    c, weights = slopes(), np.asarray(WEIGHTS, np.float64)
    for s, (gradient, carry, _) in enumerate(on_slopes(0.0, leaves="r*e")):
        xi = np.asarray(carry.perturbation.rate, np.float64)
        assert not carry.perturbation.speed.any()
        assert gradient.speed == 0.0
        if s == 0:
            expected = (xi**2 * (weights[0] @ [1.0, 2.0]) * -(c**2)).mean() / SIGMA**2
            np.testing.assert_allclose(gradient.rate, expected, rtol=1e-4)


def test_a_logarithm_far_from_its_pole_is_a_straight_line(assert_close: Callable) -> None:
    """log(f − floor + 1) with f far above its floor has the slope 1/(f − floor)."""
    far = 2e3
    for (gradient, _, losses), (plain, *_) in zip(
        on_slopes(0.0, log=1.0, floor=-far), on_slopes(0.0), strict=True
    ):
        assert_close(far * phi(gradient), phi(plain), rtol=0.02, atol=0.05)
        assert float(jnp.abs(losses).max()) < 0.01 * far


def phi_rows(tree: Any) -> jax.Array:
    return jnp.stack([tree.speed, tree.rate], axis=-1)


def test_the_losses_are_the_pairs_means(segments: list[tuple[Any, Any, jax.Array]]) -> None:
    """Of a linear L: those of φ itself, c θ_t = c t (speed − rate c)."""
    c, t = slopes(), np.arange(1, STEPS + 1)[:, None]
    losses = np.concatenate([losses for _, _, losses in segments])
    np.testing.assert_allclose(losses, c * t * (0.42 - 0.05 * c), rtol=1e-4)


def test_both_of_a_pair_meet_the_same_minibatches(
    segments: list[tuple[Any, Any, jax.Array]], assert_close: Callable
) -> None:
    """The ν of a minibatch would show 1/σ-fold in the difference, were it not one and the same."""
    for (noisy, _, losses), (plain, _, exact) in zip(on_slopes(noise=3.0), segments, strict=True):
        assert (np.abs(losses - exact) > 1e-2).all()
        assert_close(noisy, plain, rtol=1e-3, atol=1e-3)


class Drawn(Optimizee):
    """a θ, with a and θ₀ drawn straight from their keys."""

    a: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key)

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return theta * self.a


class Draws(Problem):
    def sample(self, key: jax.Array) -> Drawn:
        return Drawn(jax.random.normal(key))


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    """Of each of many pairs: ε / σ of three segments of one step, and what the episode drew."""
    m, problem, pes = drift(), Draws(), PES(problems=4000, std=SIGMA)

    def segment(carry: Any, _: object) -> tuple[Any, Any]:
        carry = pes.estimate(m, problem, carry, KEY, jnp.ones(1))[1]
        return carry, (phi_rows(carry.perturbation), carry.plus.step, carry.minus.step)

    @jax.jit
    def run() -> Any:
        begin = pes.begin(m, problem, KEY)
        xi, *steps = jax.lax.scan(segment, begin, length=3)[1]
        a = jax.vmap(lambda key: draw(problem, key, 1)[0].own.a)(jax.random.split(KEY, 4000))
        return phi_rows(begin.perturbation), xi, steps, a, begin.plus.theta

    zero, xi, steps, a, theta = run()
    assert not zero.any()
    for each in steps:
        np.testing.assert_array_equal(each, np.tile([[1], [2], [3]], 4000))
    epsilon = np.diff(xi, axis=0, prepend=0.0).transpose(1, 0, 2).reshape(4000, 6) / SIGMA
    return np.column_stack([epsilon, a, theta])


def test_perturbations_add_up_to_xi(walk: np.ndarray) -> None:
    """Segment by segment, parameter by parameter, pair by pair: N(0, σ²), independently."""
    epsilon = walk[:, :6]
    np.testing.assert_allclose(np.cov(epsilon.T), np.eye(6), atol=0.1)
    np.testing.assert_allclose(epsilon.mean(0), 0.0, atol=0.07)
    assert len(np.unique(epsilon)) > 0.99 * epsilon.size


def test_perturbations_know_nothing_of_what_is_optimized(walk: np.ndarray) -> None:
    np.testing.assert_allclose(np.corrcoef(walk.T), np.eye(8), atol=0.1)


@pytest.mark.parametrize(("wrong", "said"), [({"std": 0.0}, "std is 0"), ({"problems": 0}, "0")])
def test_numbers_of_no_sense_are_refused(
    wrong: dict[str, Any], said: str, sentence: Callable
) -> None:
    assert said in sentence(PES, **wrong)


def test_leaves_that_are_not_there_are_named(sentence: Callable) -> None:
    pes = PES(leaves="*/p")
    carry = pes.begin(drift(), Hills(), KEY)
    assert sentence(pes.estimate, drift(), Hills(), carry, KEY, WEIGHTS[0]) == (
        "no leaf of φ is called '*/p'; try one of speed, rate"
    )


def test_noise_that_is_reused_credits_every_segment_to_the_one_perturbation() -> None:
    # Of one segment that is the whole episode it is PES, as there is but one ε.
    key = jax.random.key(7)
    whole = episode_sum(PES(problems=5, std=0.1), key, STEPS)
    for unroll in (1, 2, STEPS):
        estimate = episode_sum(PES(problems=5, std=0.1, reuse=True), key, unroll)
        np.testing.assert_allclose(estimate, whole, rtol=2e-4)
    assert not np.allclose(episode_sum(PES(problems=5, std=0.1), key, 2), whole, rtol=1e-2)
