"""Line searches, charged for every gradient: step by step, side by side and tuned."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import final_loss, learning_curves
from metadescent.descent.episode import draw
from metadescent.descent.line_search import searches_along_line
from metadescent.descent.trace import curve_of, descend
from metadescent.descent.tuning import tune
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.quadratic import Quadratic

KEY = jax.random.key(0)
LBFGS = optax.lbfgs()  # one rule, and so one program for all that is run with it
PROBLEM, BUDGET = Quadratic(dimension=3), 12


class Bowl(Optimizee):
    """f(θ) = ‖θ‖², its middle moved by each minibatch."""

    noise: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.sum((theta - self.noise * jax.random.normal(key)) ** 2)


class Bowls(Problem):
    noise: jax.Array

    def sample(self, key: jax.Array) -> Bowl:
        del key
        return Bowl(self.noise)


@pytest.fixture(scope="module")
def curves() -> np.ndarray:
    return np.asarray(learning_curves(LBFGS, PROBLEM, KEY, num_steps=BUDGET, num_seeds=3))


def test_side_by_side_they_go_the_way_of_one(curves: np.ndarray) -> None:
    """Whose gradients are counted one by one in `test_trace`."""
    fs, keys = draw(PROBLEM, KEY, 3)
    thetas = fs.init(keys.theta)
    for b in range(3):
        f = eqx.combine(jax.tree.map(lambda leaf, b=b: leaf[b], fs.own), fs.shared)
        way = descend(LBFGS, f, thetas[b], KEY, num_gradients=BUDGET)
        np.testing.assert_allclose(curves[b], curve_of(way, BUDGET), rtol=1e-3, atol=1e-6)


def test_one_gradient_leads_nowhere_yet_and_all_of_them_down(curves: np.ndarray) -> None:
    fs, keys = draw(PROBLEM, KEY, 3)
    np.testing.assert_allclose(
        curves[:, 0], fs.loss(fs.init(keys.theta), keys.minibatch), rtol=1e-5
    )
    assert np.all(np.diff(curves) <= 1e-6)
    assert np.all(curves[:, -1] < 0.1 * curves[:, 0])


def test_a_search_at_the_minimum_ends() -> None:
    class AtRest(Bowls):
        def sample(self, key: jax.Array) -> Bowl:
            return Resting(self.noise)

    class Resting(Bowl):
        def init(self, key: jax.Array) -> jax.Array:
            return jnp.zeros(2)

    curve = learning_curves(LBFGS, AtRest(jnp.zeros(())), KEY, num_steps=4, num_seeds=1)
    np.testing.assert_array_equal(curve, np.zeros((1, 4)))


def test_only_a_rule_that_searches_searches() -> None:
    m = LSTM((2,), key=KEY)
    rules = [optax.lbfgs(), optax.chain(optax.identity(), optax.lbfgs()), optax.adam(1.0), m]
    assert [searches_along_line(rule, {"w": jnp.zeros(3)}) for rule in rules] == [
        True,
        True,
        False,
        False,
    ]


def test_tuned_it_takes_its_rate_from_the_grid_and_refuses_minibatches(sentence: Callable) -> None:
    words: list[str] = []
    shares: list[float] = []
    sizes = {"num_steps": 3, "num_seeds": 2}

    def tell(text: str, share: float) -> None:
        words.append(text)
        shares.append(share)

    tuned = tune("lbfgs", Bowls(jnp.zeros(())), KEY, **sizes, progress=tell)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert tuned.grid[0] < tuned.rate < tuned.grid[-1]
    # Rate by rate: side by side all would wait for the longest search at every step.
    assert len(words) == len(tuned.grid)
    assert words[1] == "tuning lbfgs, 2 of 9 rates"
    said = sentence(tune, "lbfgs", Bowls(jnp.ones(())), KEY, num_steps=3, num_seeds=2)
    assert said.startswith("lbfgs searches along a line, and the loss there is ")
    assert said.endswith("leave lbfgs out where f draws minibatches")


@pytest.mark.slow
def test_rates_in_turn_are_rates_one_by_one() -> None:
    sizes = {"num_steps": 3, "num_seeds": 2}
    tuned = tune("lbfgs", Bowls(jnp.zeros(())), KEY, **sizes)
    curves = learning_curves(
        BASELINES["lbfgs"].at(tuned.grid[1]), Bowls(jnp.zeros(())), KEY, **sizes
    )
    np.testing.assert_allclose(tuned.final_losses[1], final_loss(curves).mean(), rtol=1e-6)
