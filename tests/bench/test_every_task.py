"""What must be true of every task that discovery finds, a new one among them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.bench.fitting import Fit
from metadescent.bench.task import Split, every_task
from metadescent.problems.base import Problem
from metadescent.problems.batch import Batch

KEY, OTHER = jax.random.split(jax.random.key(0))
# Steps of these take microseconds.
CHEAP = ("noisy-quadratic", "least-squares", "wine", "deep-linear")
RATES = (3e-4, 3e-3, 3e-2)
STEPS = 500


@pytest.fixture(params=every_task())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def split(name: str, splits: dict[str, Split]) -> Split:
    if name not in splits:
        pytest.skip("scikit-learn is not installed")
    return splits[name]


@pytest.fixture
def real(name: str, on_real_data: dict[str, Split]) -> Split:
    if name not in on_real_data:
        pytest.skip("its data is not on this disk")
    return on_real_data[name]


def shapes(function: Callable[..., Any], *arguments: Any) -> Any:
    return eqx.filter_eval_shape(function, *arguments)


def start(problem: Problem, key: jax.Array) -> Any:
    return problem.sample(key).init(key)


def loss(problem: Problem, theta: Any, key: jax.Array) -> jax.Array:
    return problem.sample(KEY).loss(theta, key)


def test_theta_has_one_structure_on_all_three_sides(split: Split) -> None:
    thetas = [shapes(start, problem, KEY) for problem in split]
    assert thetas[0] == thetas[1] == thetas[2]
    assert all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(thetas[0]))


def test_a_loss_is_one_number_and_its_gradient_is_like_theta(split: Split) -> None:
    theta = shapes(start, split.train, KEY)
    for problem in split:
        value, gradient = shapes(
            lambda problem, theta: jax.value_and_grad(lambda x: loss(problem, x, KEY))(theta),
            problem,
            theta,
        )
        assert value.shape == ()
        assert jnp.issubdtype(value.dtype, jnp.floating)
        assert gradient == theta


def test_minibatches_are_trained_on_and_all_examples_measured(split: Split) -> None:
    fs = [shapes(lambda problem: problem.sample(KEY), problem) for problem in split]
    assert all(isinstance(f, Fit) for f in fs)
    assert [f.batch_size is None for f in fs] == [False, True, True]
    counts = [jax.tree.leaves(f.examples)[0].shape[0] for f in fs]
    assert counts[1] <= min(counts[0], 1024)
    assert counts[2] <= 1024


def test_what_all_f_share_is_not_copied_for_each(split: Split) -> None:
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(split.train))

    def own(problem: Problem) -> Any:
        return Batch.sample(problem, KEY, 3).own

    drawn = sum(leaf.size * 4 for leaf in jax.tree.leaves(shapes(own, split.train)))
    # Either f is about examples that the problem holds, or it has drawn its own.
    assert (held > 0) != (drawn > 0)
    assert drawn < 3 * 5e6


@pytest.mark.parametrize("name", CHEAP)
def test_adam_gets_down_a_cheap_one(name: str, split: Split) -> None:
    begin, end = falls(split)
    assert end < 0.7 * begin


@pytest.mark.parametrize("name", ["noisy-quadratic", "mnist-dropout", "text-n-gram"])
def test_a_key_is_an_f_and_a_minibatch(name: str, split: Split, assert_same_bits: Callable) -> None:
    @eqx.filter_jit
    def look(split: Split, key: jax.Array) -> tuple[Any, list[list[jax.Array]]]:
        theta = start(split.train, KEY)
        losses = [[p.sample(KEY).loss(theta, k) for k in (key, OTHER)] for p in split]
        return theta, losses

    theta, (trained, measured, held_out) = look(split, KEY)
    assert_same_bits(look(split, KEY), (theta, [trained, measured, held_out]))
    # The key of a step draws the minibatch, and what is measured does not depend on it.
    assert trained[0] != trained[1]
    assert measured[0] == measured[1]
    assert held_out[0] == held_out[1]


def test_the_f_of_a_key_is_about_one_teacher_on_all_sides(splits: dict[str, Split]) -> None:
    """The examples that are measured are among those that are trained on."""
    split = splits["noisy-quadratic"]
    train, measured, held_out = (problem.sample(KEY).examples for problem in split)
    np.testing.assert_array_equal(measured, train[:: len(train) // len(measured)])
    # All centres lie about the one that is held out.
    np.testing.assert_allclose(train.mean(0), held_out[0], atol=0.3)
    assert abs(held_out - split.held_out.sample(OTHER).examples).max() > 1


@pytest.mark.slow
def test_f_is_finite_at_the_start_and_so_is_its_gradient(real: Split) -> None:
    theta, losses, gradient = eqx.filter_jit(at_start)(real)
    assert all(np.isfinite(losses))
    leaves = [*jax.tree.leaves(gradient), *jax.tree.leaves(theta)]
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert any(leaf.any() for leaf in jax.tree.leaves(gradient))


def at_start(split: Split) -> tuple[Any, list[jax.Array], Any]:
    theta = start(split.train, KEY)
    gradient = jax.grad(lambda theta: loss(split.train, theta, KEY))(theta)
    return theta, [loss(problem, theta, KEY) for problem in split], gradient


@pytest.mark.slow
def test_a_batch_of_them_is_each_by_itself(real: Split, assert_close: Callable) -> None:
    @eqx.filter_jit
    def side_by_side(problem: Problem) -> jax.Array:
        fs = Batch.sample(problem, KEY, 2)
        return fs.loss(fs.init(KEY), KEY)

    @eqx.filter_jit
    def alone(problem: Problem, key: jax.Array) -> jax.Array:
        f = problem.sample(key)
        return f.loss(f.init(key), key)

    for problem in (real.train, real.held_out):
        losses = [alone(problem, key) for key in jax.random.split(KEY, 2)]
        assert_close(side_by_side(problem), jnp.stack(losses), rtol=1e-3)


@pytest.mark.slow
def test_adam_gets_down_every_one(real: Split) -> None:
    begin, end = falls(real)
    assert end < 0.9 * begin


def falls(split: Split) -> tuple[float, float]:
    """Return what is measured at the start, and after 500 steps of Adam at the best of rates."""
    begin, ends = 0.0, []
    for rate in RATES:
        begin, end = map(float, descended(split, jnp.asarray(rate)))
        ends.append(end)
    return begin, np.nanmin(ends)


@eqx.filter_jit
def descended(split: Split, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
    f, measured = split.train.sample(KEY), split.measured.sample(KEY)
    tx = optax.scale_by_adam()

    def step(carry: Any, key: jax.Array) -> tuple[Any, None]:
        theta, state = carry
        updates, state = tx.update(jax.grad(f.loss)(theta, key), state)
        return (jax.tree.map(lambda x, u: x - rate * u, theta, updates), state), None

    begin = f.init(KEY)
    (end, _), _ = jax.lax.scan(step, (begin, tx.init(begin)), jax.random.split(KEY, STEPS))
    return measured.loss(begin, KEY), measured.loss(end, KEY)


# What a loss is at θ₀, where the outputs say nothing yet, and how far off it may be.
TEN, LETTERS = np.log(10), np.log(25)
GUESSES = {
    "mnist-softmax": (TEN, 0.3),
    "mnist-sigmoid": (TEN, 0.4),
    "mnist-small-loss": (1e-3 * TEN, 4e-4),
    "mnist-conv": (TEN, 1.5),
    "cifar-softmax": (TEN, 0.6),
    "mnist-transformer": (TEN, 0.8),
    "mnist-variational": (196 * np.log(2), 20),
    "mnist-autoencoder": (np.log(2), 0.15),
    "mnist-one-hot": (1.0, 2.0),
    "breast-cancer": (np.log(2), 0.6),
    "matrix": (1.0, 0.3),
    "likings": (np.log(2), 0.01),
    "text-gru": (LETTERS, 0.3),
    "text-lstm": (LETTERS, 0.3),
    "text-transformer": (LETTERS, 0.8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GUESSES)
def test_the_loss_at_the_start_is_that_of_a_guess(name: str, real: Split) -> None:
    value, off = GUESSES[name]
    _, losses, _ = eqx.filter_jit(at_start)(real)
    np.testing.assert_allclose(losses[1:], value, atol=off)
