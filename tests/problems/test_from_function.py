"""Functions of one's own as a problem: what f is about, what is drawn when, what is refused."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.fingerprint import fingerprint_of
from metadescent.problems.base import Problem
from metadescent.problems.batch import Batch
from metadescent.problems.fan_in import FanIn
from metadescent.problems.from_function import FromFunction
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.rescaled import Rescaled
from metadescent.problems.together import Together

KEY, OTHER = jax.random.split(jax.random.key(0))
FLOAT, INT = jnp.zeros(0).dtype, jnp.zeros(0, int).dtype  # of 32 bits, unless JAX has its 64 on
DATA = {"x": np.arange(12.0).reshape(4, 3), "y": np.arange(4.0)}


def init(key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (3,))


def distance(theta: jax.Array, key: jax.Array, entry: dict[str, jax.Array]) -> jax.Array:
    return jnp.sum((theta - entry["x"]) ** 2) + entry["y"]


def noisy(theta: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.sum(theta**2) + jax.random.normal(key)


def mean(theta: jax.Array, key: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    return jnp.mean(batch["x"] @ theta + batch["y"])


def test_without_data_f_is_the_function(assert_same_bits: Callable) -> None:
    f = FromFunction(noisy, init).sample(KEY)
    theta = f.init(KEY)
    assert_same_bits(theta, init(KEY))
    assert_same_bits(f.loss(theta, OTHER), noisy(theta, OTHER))


def test_each_f_is_about_one_entry_and_all_entries_are_drawn_alike() -> None:
    problem = FromFunction(distance, init, DATA)
    fs = Batch.sample(problem, KEY, 400)
    entry, number = fs.own.data["x"], fs.own.data["y"].astype(int)
    # The leaves of an entry belong together.
    np.testing.assert_array_equal(entry, DATA["x"][number])
    count = np.bincount(number, minlength=4)
    # Within five standard deviations of 100.
    assert abs(count - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_f_keeps_its_entry_whatever_the_key_of_the_step() -> None:
    f = FromFunction(distance, init, DATA).sample(KEY)
    theta = f.init(KEY)
    assert float(f.loss(theta, KEY)) == float(f.loss(theta, OTHER))
    i = int(f.data["y"])
    expected = np.sum((np.asarray(theta) - DATA["x"][i]) ** 2) + i
    np.testing.assert_allclose(f.loss(theta, KEY), expected, rtol=1e-6)


def test_a_minibatch_is_an_unbiased_sample_of_what_all_f_share() -> None:
    problem = FromFunction(mean, init, DATA, batch_size=2)
    f, g = problem.sample(KEY), problem.sample(OTHER)
    assert f.data["x"] is g.data["x"] is problem.f.data["x"]
    theta = f.init(KEY)
    losses = jax.vmap(lambda key: f.loss(theta, key))(jax.random.split(KEY, 2000))
    every = np.asarray(DATA["x"] @ np.asarray(theta) + DATA["y"])
    error = every.std() / np.sqrt(2 * 2000)
    assert abs(float(losses.mean()) - every.mean()) < 5 * error
    # Two entries, drawn with replacement.
    pairs = (every[:, None] + every[None]).ravel() / 2
    assert np.abs(np.asarray(losses)[:, None] - pairs).min(axis=1).max() < 1e-4


def test_the_key_of_a_minibatch_is_not_the_key_of_the_loss() -> None:
    """What is random in the loss must not depend on which entries were drawn."""
    seen = FromFunction(
        lambda theta, key, batch: jax.random.uniform(key), init, DATA, batch_size=1
    ).sample(KEY)
    assert float(seen.loss(seen.init(KEY), KEY)) != float(jax.random.uniform(KEY))


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (
            (distance, init),
            {},
            "loss is called as loss(theta, key) and cannot be: missing a required argument: "
            "'entry'; try def loss(theta, key)",
        ),
        (
            (noisy, init, DATA),
            {},
            "loss is called as loss(theta, key, entry) and cannot be: too many positional "
            "arguments; try def loss(theta, key, entry)",
        ),
        (
            (noisy, lambda: jnp.zeros(3)),
            {},
            "init is called as init(key) and cannot be: too many positional arguments; "
            "try def init(key)",
        ),
        (
            (lambda theta, key: theta, init),
            {},
            f"loss returns {FLOAT}[3] and must return a floating-point scalar; try jnp.mean",
        ),
        (
            (lambda theta, key: (theta[0], theta[1]), init),
            {},
            "loss returns tuple and must return a floating-point scalar; try jnp.mean",
        ),
        (
            (lambda theta, key: jnp.argmax(theta), init),
            {},
            f"loss returns {INT}[] and must return a floating-point scalar; try jnp.mean",
        ),
        (
            (noisy, lambda key: {"w": jnp.zeros(3, int)}),
            {},
            f"θ['w'] as init returns it is {INT} and must be floating-point; try jnp.float32",
        ),
        ((noisy, lambda key: ()), {}, "init returns no arrays; try jnp.zeros(3)"),
        (
            (distance, init, {"x": DATA["x"], "y": DATA["y"][:3]}),
            {},
            "the leaves of the data have 3 and 4 entries along their first axes and must all have "
            "the same number, 1 or more; try jax.tree.map(jnp.shape, data)",
        ),
        (
            (distance, init, {"x": DATA["x"], "y": 3.0}),
            {},
            "the leaves of the data have 0 and 4 entries along their first axes and must all have "
            "the same number, 1 or more; try jax.tree.map(jnp.shape, data)",
        ),
        ((mean, init, DATA), {"batch_size": 0}, "batch_size is 0 and must be at least 1"),
        (
            (noisy, init),
            {"batch_size": 2},
            "batch_size is 2 and there is no data; give the data that minibatches are drawn from",
        ),
    ],
)
def test_what_cannot_be_a_problem_is_refused_in_a_sentence(
    arguments: tuple, options: dict[str, Any], expected: str, sentence: Callable
) -> None:
    assert sentence(FromFunction, *arguments, **options) == expected


def test_a_fingerprint_is_of_the_functions_and_of_what_they_close_over() -> None:
    def about(c: Any, data: Any = DATA) -> FromFunction:
        return FromFunction(lambda theta, key, entry: jnp.sum(theta * c) ** 2, init, data)

    def nested(c: Any) -> FromFunction:
        inner = jax.jit(lambda theta: jnp.sum(theta * c) ** 2)
        return FromFunction(lambda theta, key, entry: inner(theta), init, DATA)

    far = np.zeros(3000, np.float32)
    near = far.copy()
    near[1700] = 1.0
    problems = [
        about(1.0),
        about(2.0),
        about(1.0, {**DATA, "y": DATA["y"] + 1}),
        nested(1.0),
        nested(jnp.array([1.0, 1.0, 2.0])),
        FromFunction(lambda theta, key: jnp.sum(theta) + far.sum() + jnp.sum(jnp.array(far)), init),
        FromFunction(lambda theta, key: jnp.sum(theta) + jnp.sum(jnp.array(near)), init),
        FromFunction(mean, init, DATA, batch_size=2),
        FromFunction(mean, init, DATA, batch_size=3),
    ]
    prints = [fingerprint_of(problem) for problem in problems]
    assert len(set(prints)) == len(prints)
    assert fingerprint_of(about(2.0)) == prints[1]
    assert fingerprint_of(nested(1.0)) == prints[3]


BIG, EXACT = np.array([1700000000000, 1700000000001]), np.array([1.7e12, 1.7e12 + 1000])
READ: dict[str, Callable] = {
    "a closure": (lambda big: lambda t, k: jnp.sum((t - big) ** 2))(BIG),
    "a global": lambda t, k: jnp.sum((t - EXACT) ** 2),
    "a partial function": partial(lambda big, t, k: jnp.sum((t - big) ** 2), BIG),
    "a loop": lambda t, k: jax.lax.scan(
        lambda c, _: (c + jnp.sum(t * BIG), None), 0 * t[0], None, 2
    )[0],
    "made of NumPy's": lambda t, k: jnp.sum((t - jnp.asarray(np.array([2**40, 2]))) ** 2),
}


@pytest.mark.skipif(jax.config.jax_enable_x64, reason="nothing is lost")
@pytest.mark.parametrize("loss", READ.values(), ids=READ)
def test_what_a_function_reads_from_elsewhere_loses_nothing(
    loss: Callable, sentence: Callable
) -> None:
    said = sentence(FromFunction, loss, lambda key: jnp.ones(2))
    assert said.startswith("an array of shape (2,) that f reads is ")
    assert "JAX's " in said


def test_what_a_function_reads_may_be_rounded_or_of_64_bits_that_it_does_not_need() -> None:
    grid, places = np.linspace(0, 1, 5), np.array([4, 0, 2])

    def loss(theta: jax.Array, key: jax.Array) -> jax.Array:
        noise = jax.random.normal(key, (5,)) * jnp.finfo(theta.dtype).eps
        return jnp.sum((jnp.nan_to_num(theta + noise) - grid)[places] ** 2)

    FromFunction(loss, lambda key: jax.random.normal(key, (5,)))


@pytest.mark.parametrize(
    ("n", "held_out", "sizes"),
    [(1000, 0.3, (700, 150, 150)), (107, 0.3, (75, 16, 16)), (40, 0.9, (4, 18, 18))],
)
def test_parts_share_no_entry(n: int, held_out: float, sizes: tuple[int, ...]) -> None:
    data = {"x": np.zeros((n, 3)), "y": np.arange(n)}
    parts = FromFunction(distance, init, data).hold_out(held_out)
    drawn = [set(problem.f.data["y"].tolist()) for problem in parts]  # pyright: ignore
    assert tuple(map(len, drawn)) == sizes
    assert set.union(*drawn) == set(range(n))
    assert sum(sizes) == n


@pytest.mark.parametrize("wrap", [Rescaled, Logarithm, FanIn, lambda problem: Together([problem])])
def test_what_is_made_of_problems_holds_out_what_these_do(wrap: Callable[[Any], Problem]) -> None:
    problem = FromFunction(distance, init, {"x": np.zeros((200, 3)), "y": np.arange(200.0)})
    parts, within = wrap(problem).hold_out(0.3), problem.hold_out(0.3)
    for part, expected in zip(parts, within, strict=True):
        assert eqx.tree_equal(part, wrap(expected))


@pytest.mark.parametrize(
    ("problem", "held_out"),
    [
        (FromFunction(distance, init, DATA), 0.0),
        (FromFunction(mean, init, DATA, batch_size=2), 0.3),
        (FromFunction(noisy, init), 0.3),
        (FromFunction(distance, init, {"x": np.zeros((100, 3)), "y": np.zeros(100)}), 0.3),
    ],
)
def test_what_has_no_or_few_tasks_has_no_parts(problem: FromFunction, held_out: float) -> None:
    assert all(part is problem for part in problem.hold_out(held_out))
