"""A batch of optimizees is those optimizees, and a dataset is never copied."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.batch import Batch, Part, Place
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic

SIZE = 5


class Picked(Optimizee):
    """Fit the rows of a table, held by all alike, from an origin of one's own."""

    table: jax.Array
    origin: jax.Array

    def init(self, key: jax.Array) -> dict[str, jax.Array]:
        return {"x": self.origin + jax.random.normal(key, (3,)), "s": jax.random.uniform(key)}

    def loss(self, theta: dict[str, jax.Array], key: jax.Array) -> jax.Array:
        row = self.table[jax.random.randint(key, (), 0, len(self.table))]
        return jnp.sum((theta["s"] * theta["x"] - row) ** 2)


class Pick(Problem):
    table: jax.Array

    def sample(self, key: jax.Array) -> Picked:
        return Picked(self.table, jax.random.normal(key, (3,)))


def images(examples: int = 64, pixels: int = 16) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (examples, pixels), dtype=np.uint8)
    return x, np.arange(examples) % 3


PROBLEMS: dict[str, Problem] = {
    "quadratic": Quadratic(dimension=3),
    "classifier": MLPClassification(*images(), hidden=(), batch_size=4),
    "own and shared": Pick(jnp.arange(12.0).reshape(4, 3)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_batch_is_single_optimizees_drawn_with_the_same_keys(
    name: str, assert_close: Callable
) -> None:
    problem = PROBLEMS[name]
    f_key, theta_key, loss_key = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    def together() -> tuple[Any, jax.Array]:
        fs = Batch.sample(problem, f_key, SIZE)
        thetas = fs.init(theta_key)
        return thetas, fs.loss(thetas, loss_key)

    thetas, losses = together()
    assert losses.shape == (SIZE,)

    @jax.jit
    def alone(f_key: jax.Array, theta_key: jax.Array, loss_key: jax.Array) -> tuple:
        f = problem.sample(f_key)
        theta = f.init(theta_key)
        return theta, f.loss(theta, loss_key)

    keys = (jax.random.split(key, SIZE) for key in (f_key, theta_key, loss_key))
    for b, each in enumerate(zip(*keys, strict=True)):
        assert_close(jax.tree.map(lambda x, b=b: np.asarray(x)[b], (thetas, losses)), alone(*each))


def test_each_loss_depends_on_its_own_theta_only() -> None:
    fs = Batch.sample(PROBLEMS["quadratic"], jax.random.key(0), SIZE)
    theta = fs.init(jax.random.key(1))
    jacobian = np.asarray(jax.jit(jax.jacrev(fs.loss))(theta, jax.random.key(2)))
    depends = (jacobian != 0).any(-1)
    np.testing.assert_array_equal(depends, np.eye(SIZE, dtype=bool))


def test_what_the_problem_holds_is_shared_and_what_it_draws_is_own() -> None:
    fs = Batch.sample(PROBLEMS["own and shared"], jax.random.key(0), SIZE)
    assert fs.shared.table is PROBLEMS["own and shared"].table
    assert fs.own.table is None
    assert fs.own.origin.shape == (SIZE, 3)
    assert fs.shared.origin is None


def test_a_dataset_is_shared_and_nothing_is_own() -> None:
    problem = PROBLEMS["classifier"]
    fs = Batch.sample(problem, jax.random.key(0), SIZE)
    assert fs.shared.images is problem.f.images
    assert fs.shared.labels is problem.f.labels
    assert jax.tree.leaves(fs.own) == []


def test_a_dataset_is_not_copied_under_jit_either() -> None:
    def losses(problem: Problem, key: jax.Array) -> jax.Array:
        fs = Batch.sample(problem, key, SIZE)
        return fs.loss(fs.init(key), key)

    program = str(eqx.filter_make_jaxpr(losses)(PROBLEMS["classifier"], jax.random.key(0))[0])
    assert "u8[64,16]" in program
    assert f"u8[{SIZE},64,16]" not in program


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_key_is_the_optimizee(name: str, assert_same_bits: Callable) -> None:
    first, again = (Batch.sample(PROBLEMS[name], jax.random.key(3), SIZE) for _ in range(2))
    assert_same_bits(first, again)


def test_optimizees_of_a_batch_differ() -> None:
    W = Batch.sample(PROBLEMS["quadratic"], jax.random.key(0), SIZE).own.W
    assert len(np.unique(np.asarray(W))) == W.size


def part(problem: Problem, index: int, parts: int) -> Part:
    return Part(problem, Place(jnp.asarray(index), parts))


def test_the_parts_of_a_batch_are_the_batch(assert_same_bits: Callable) -> None:
    problem = PROBLEMS["own and shared"]
    f_key, theta_key, loss_key = jax.random.split(jax.random.key(0), 3)

    @eqx.filter_jit
    def drawn(problem: Problem, size: int) -> tuple[Any, jax.Array]:
        fs = Batch.sample(problem, f_key, size)
        thetas = fs.init(theta_key)
        return thetas, fs.loss(thetas, loss_key)

    whole = drawn(problem, 6)
    parts = [drawn(part(problem, k, parts=3), 2) for k in range(3)]
    assert_same_bits(jax.tree.map(lambda *x: np.concatenate(x), *parts), whole)


class InTurn(Problem):
    """Goes through the rows of a table instead of drawing one."""

    table: jax.Array

    def sample(self, key: jax.Array) -> Picked:
        return Picked(self.table, self.table[0])

    def numbered(self, key: jax.Array, number: jax.Array) -> Picked:
        return Picked(self.table, self.table[number % len(self.table)])


def test_a_problem_may_go_through_a_set_in_turn_and_its_parts_go_on() -> None:
    problem = InTurn(jnp.arange(12.0).reshape(4, 3))
    whole = Batch.sample(problem, jax.random.key(0), 6)
    np.testing.assert_array_equal(whole.own.origin, problem.table[jnp.arange(6) % 4])
    parts = [Batch.sample(part(problem, k, parts=3), jax.random.key(0), 2) for k in range(3)]
    np.testing.assert_array_equal(
        jnp.concatenate([batch.own.origin for batch in parts]), whole.own.origin
    )
