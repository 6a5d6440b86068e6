"""A key is f, θ₀ and minibatches; whoever draws from it draws the same."""

import equinox as eqx
import jax
import optax

from metadescent.descent.episode import draw, keys_of, start_batch
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
