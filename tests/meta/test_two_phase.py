"""Two phases give the meta-gradient of one; a sample of coordinates gives it on average."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.episode import start_batch
from metadescent.descent.unrolling import start, unroll
from metadescent.meta import two_phase
from metadescent.meta.loss import meta_loss
from metadescent.meta.two_phase import meta_gradient, record
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.batch import Batch
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(3)
STEPS = 4
M = LSTM((3,), key=jax.random.key(0))
FS = Batch.sample(Quadratic(dimension=5), jax.random.key(1), 2)
BEGIN = start(M, FS, KEY)
WEIGHTS = jnp.asarray([1.0, 0.0, 0.5, 2.0])


@pytest.fixture(scope="module")
def recorded():
    return eqx.filter_jit(record)(M, FS, BEGIN, KEY, num_steps=STEPS)


@pytest.fixture(scope="module")
def one_phase():
    """The meta-gradient by automatic differentiation of the unroll."""

    def loss(m: LSTM) -> jax.Array:
        return (WEIGHTS @ unroll(m, FS, BEGIN, KEY, num_steps=STEPS)[1]).sum()

    return eqx.filter_jit(eqx.filter_grad(loss))(M)


def test_phase_one_is_the_unroll(recorded, assert_close: Callable) -> None:
    end, losses = unroll(M, FS, BEGIN, KEY, num_steps=STEPS)
    assert_close(recorded[:2], (end, losses))


def test_phase_one_keeps_the_gradient_at_every_theta(recorded, assert_close: Callable) -> None:
    gradients = recorded[2]
    assert gradients.shape == (STEPS + 1, 2, 5)
    for theta, gradient in ((BEGIN.theta, gradients[0]), (recorded[0].theta, gradients[-1])):
        assert_close(gradient, jax.grad(lambda theta: FS.loss(theta, KEY).sum())(theta))


def test_phase_two_is_automatic_differentiation(
    recorded, one_phase, assert_close: Callable
) -> None:
    gradient = meta_gradient(M, BEGIN.state, recorded[2], WEIGHTS)
    assert_close(gradient, one_phase, rtol=1e-4, atol=1e-5)


def test_a_sample_of_all_coordinates_is_exact(recorded, one_phase, assert_close: Callable) -> None:
    gradient = meta_gradient(
        M, BEGIN.state, recorded[2], WEIGHTS, num_coordinates=10, key=jax.random.key(0)
    )
    assert_close(gradient, one_phase, rtol=1e-4, atol=1e-5)


def test_a_sample_of_coordinates_is_unbiased(recorded, one_phase) -> None:
    @jax.jit
    @jax.vmap
    def estimates(key: jax.Array) -> jax.Array:
        gradient = meta_gradient(M, BEGIN.state, recorded[2], WEIGHTS, num_coordinates=3, key=key)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)])

    each = np.asarray(estimates(jax.random.split(jax.random.key(4), 400)), np.float64)
    expected = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(one_phase)])
    error = each.std(0) / np.sqrt(len(each))
    assert (error > 0).any()
    # Of 61 sums of 400 draws none is five standard errors off, and all together are close.
    assert (np.abs(each.mean(0) - expected) <= 5 * error + 1e-5).all()
    assert np.linalg.norm(each.mean(0) - expected) < 0.1 * np.linalg.norm(expected)


def perceptrons() -> Problem:
    """Small MLPs: θ of four leaves, f estimated on minibatches."""
    images = np.random.default_rng(0).integers(0, 256, (8, 3)).astype(np.uint8)
    return MLPClassification(images, np.arange(8) % 2, (2,), batch_size=4, theta_std=1.0)


OPTIMIZEES: dict[str, Callable[[], Optimizee]] = {
    "one quadratic": lambda: Quadratic(dimension=3).sample(jax.random.key(1)),
    "a batch of MLPs": lambda: Batch.sample(perceptrons(), jax.random.key(1), 2),
}


@pytest.mark.parametrize(("float64", "tolerance"), [(False, 1e-5), (True, 1e-12)])
@pytest.mark.parametrize(
    "name", ["one quadratic", pytest.param("a batch of MLPs", marks=pytest.mark.slow)]
)
def test_two_phases_are_one_from_a_carried_state_on(
    name: str, float64: bool, tolerance: float
) -> None:
    @eqx.filter_jit
    def both(m: LSTM, f: Optimizee) -> tuple[LSTM, LSTM]:
        weights = jnp.asarray(WEIGHTS.tolist())
        begin, _ = unroll(m, f, start(m, f, KEY), KEY, num_steps=2)
        begin = jax.lax.stop_gradient(begin)

        def loss(m: LSTM) -> jax.Array:
            return (weights @ unroll(m, f, begin, KEY, num_steps=STEPS)[1]).sum()

        gradients = record(m, f, begin, KEY, num_steps=STEPS)[2]
        return eqx.filter_grad(loss)(m), meta_gradient(m, begin.state, gradients, weights)

    with jax.enable_x64(float64):
        one, two = map(flat, both(LSTM((3,), key=jax.random.key(0)), OPTIMIZEES[name]()))
    assert np.linalg.norm(one) > 1e-3
    assert np.linalg.norm(two - one) <= tolerance * np.linalg.norm(one)


def test_a_coordinate_without_cotangent_does_not_matter(assert_close: Callable) -> None:
    # ∇_0 and h of the last coordinate are anything, ∇_1 … ∇_T are 0: nothing it does is paid for.
    few = jax.random.normal(jax.random.key(0), (STEPS + 1, 3))
    many = jnp.pad(few, ((0, 0), (0, 1))).at[0, -1].set(100.0)
    h = jax.tree.map(lambda x: x + 0.3, M.init(few[0]))
    more_h = jax.tree.map(lambda x: jnp.pad(x, ((0, 0), (0, 1)), constant_values=7.0), h)
    expected = meta_gradient(M, h, few, WEIGHTS)
    assert np.linalg.norm(flat(expected)) > 1e-3
    assert_close(meta_gradient(M, more_h, many, WEIGHTS), expected)


IMPORTANCE = jnp.asarray([0.0, 5.0, 1.0, 0.5, 0.0, 0.1])


def test_every_coordinate_counts_once_on_average() -> None:
    @jax.jit
    @jax.vmap
    def counts(key: jax.Array) -> jax.Array:
        chosen, inverse = two_phase._sample(IMPORTANCE, 2, key)
        return jnp.zeros(len(IMPORTANCE)).at[chosen].add(inverse)

    each = np.asarray(counts(jax.random.split(jax.random.key(0), 20_000)), np.float64)
    error = each.std(0) / np.sqrt(len(each))
    assert (error > 0).any()
    assert (np.abs(each.mean(0) - 1) <= 5 * error + 1e-5).all()
    # A tenth of the uniform distribution is mixed in: no weight exceeds 10 n / count.
    assert each.max() <= 10 * len(IMPORTANCE) / 2 + 1e-3


def test_a_coordinate_that_matters_much_is_in_every_sample() -> None:
    sample = jax.jit(jax.vmap(lambda key: two_phase._sample(IMPORTANCE, 2, key)[0]))
    chosen = sample(jax.random.split(jax.random.key(0), 1000))
    assert (chosen == 1).any(axis=1).all()


def test_without_any_cotangent_a_sample_is_zero_and_finite() -> None:
    gradient = meta_gradient(
        M, M.init(jnp.zeros(6)), jnp.zeros((STEPS + 1, 6)), WEIGHTS, num_coordinates=2, key=KEY
    )
    assert not flat(gradient).any()


def test_sampling_changes_the_meta_gradient_and_no_loss(assert_same_bits: Callable) -> None:
    problem = Quadratic(dimension=5)
    begin = start_batch(M, problem, KEY, 2)

    def both(num_coordinates: int | None) -> tuple:
        return eqx.filter_jit(eqx.filter_value_and_grad(meta_loss, has_aux=True))(
            M,
            problem,
            begin,
            KEY,
            num_problems=2,
            num_steps=STEPS,
            num_coordinates=num_coordinates,
        )

    value, gradient = both(None)
    sampled_value, sampled_gradient = both(3)
    assert_same_bits(sampled_value, value)
    assert not np.allclose(flat(sampled_gradient), flat(gradient), rtol=1e-2)


def flat(tree: LSTM) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
