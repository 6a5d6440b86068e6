"""A key is f, θ₀ and minibatches; whoever draws from it draws the same."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from metadescent.descent.episode import draw, draw_all, keys_of, start_batch
from metadescent.problems.batch import Part, Place
from metadescent.problems.from_function import FromFunction
from metadescent.problems.quadratic import Quadratic

KEY, PROBLEM = jax.random.key(0), Quadratic(dimension=2)


def test_one_key_is_one_set_of_optimizees_and_another_is_another() -> None:
    first, same, other = (draw(PROBLEM, jax.random.key(n), 2)[0] for n in (0, 0, 1))
    assert eqx.tree_equal(first, same)
    assert not eqx.tree_equal(first, other)


def test_a_batch_starts_at_the_thetas_of_its_key() -> None:
    fs, keys = draw(PROBLEM, KEY, 3)
    trajectory = start_batch(optax.sgd(0.1), PROBLEM, KEY, 3)
    assert (fs.init(keys.theta) == trajectory.theta).all()
    assert int(trajectory.step) == 0


def test_what_is_drawn_from_the_keys_of_an_episode_is_independent() -> None:
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys_of(KEY)}) == 4


def test_a_program_of_its_own_draws_what_a_key_stands_for(assert_close: Callable) -> None:
    fs, keys = draw(PROBLEM, KEY, 3)
    drawn = draw_all(PROBLEM, KEY, 3)
    assert_close(drawn.fs, fs)
    assert_close(drawn.theta, fs.init(keys.theta))
    assert (jax.random.key_data(drawn.minibatch) == jax.random.key_data(keys.minibatch)).all()
    # Part by part too.
    parts = [draw_all(Part(PROBLEM, Place(jnp.asarray(i), 3)), KEY, 1).theta for i in range(3)]
    assert_close(jnp.concatenate(parts), drawn.theta)


def test_data_that_all_optimizees_share_are_not_copied() -> None:
    data = jnp.arange(12.0).reshape(6, 2)
    problem = FromFunction(
        lambda theta, key, batch: jnp.mean((batch @ theta) ** 2),
        lambda key: jax.random.normal(key, (2,)),
        data,
        batch_size=3,
    )
    (kept,) = jax.tree.leaves(problem)
    assert any(leaf is kept for leaf in jax.tree.leaves(draw_all(problem, KEY, 2)))
