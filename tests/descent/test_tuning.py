"""The rate that a search returns is the best of a grid that contains its optimum."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import final_loss, learning_curves
from metadescent.descent.tuning import Tuned, baselines_for, tune
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.from_function import FromFunction

KEY = jax.random.key(0)
SIZES = {"num_steps": 10, "num_seeds": 2}


class Bowl(Optimizee):
    """f(θ) = curvature · ‖θ‖²; the best rate of gradient descent is 1 / (2 · curvature)."""

    curvature: jax.Array

    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return self.curvature * jnp.sum(theta**2)


class Bowls(Problem):
    curvature: jax.Array

    def sample(self, key: jax.Array) -> Bowl:
        del key
        return Bowl(self.curvature)


def bowls(curvature: float) -> Bowls:
    return Bowls(jnp.asarray(curvature))


@pytest.fixture(scope="module")
def tuned() -> Tuned:
    return tune("sgd", bowls(1.0), KEY, **SIZES)


# On a grid of four a decade: the nearest to 1/2, which |1 − 2 · rate| tells.
BEST = 10**-0.25


def test_the_rate_is_the_best_of_its_grid(tuned: Tuned) -> None:
    assert tuned.rate == pytest.approx(BEST)
    assert tuned.rate == tuned.grid[int(np.argmin(tuned.final_losses))]
    assert tuned.grid[0] < tuned.rate < tuned.grid[-1]
    np.testing.assert_allclose(np.diff(np.log10(tuned.grid)), 0.25)
    assert tuned.criterion == "mean loss over the last tenth of 10 steps, 2 problems"


@pytest.mark.parametrize("factor", [1e-3, 1e4], ids=["to higher rates", "to lower rates"])
def test_the_grid_grows_until_the_optimum_is_inside(factor: float, tuned: Tuned) -> None:
    wider = tune("sgd", bowls(factor), KEY, **SIZES)
    assert wider.rate == pytest.approx(BEST / factor)
    assert wider.grid[0] < wider.rate < wider.grid[-1]
    assert len(wider.grid) > len(tuned.grid)
    np.testing.assert_allclose(np.diff(np.log10(wider.grid)), 0.25)


def test_rates_that_diverge_are_never_best() -> None:
    tuned = tune("sgd", bowls(1.0), KEY, num_steps=150, num_seeds=2)
    diverged = [rate for rate, loss in zip(tuned.grid, tuned.final_losses, strict=True) if loss > 1]
    assert tuned.final_losses[-1] == np.inf
    assert diverged
    assert tuned.rate < min(diverged)


def test_all_rates_at_once_are_one_by_one(tuned: Tuned) -> None:
    for rate, loss in list(zip(tuned.grid, tuned.final_losses, strict=True))[::4]:
        curves = learning_curves(BASELINES["sgd"].at(rate), bowls(1.0), KEY, **SIZES)
        assert loss == pytest.approx(float(final_loss(curves).mean()), rel=1e-3)


def test_side_by_side_there_is_one_word_for_a_grid() -> None:
    words: list[str] = []
    tuned = tune("sgd", bowls(1.0), KEY, **SIZES, progress=lambda text, _: words.append(text))
    assert words == [f"tuning sgd, {len(tuned.grid)} of {len(tuned.grid)} rates"]


def test_state_is_fresh_every_time() -> None:
    first, again = (tune("adam", bowls(1.0), KEY, **SIZES) for _ in range(2))
    assert first == again


class Cliff(Bowl):
    """Nothing but NaN."""

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return jnp.nan * jnp.sum(theta)


class Cliffs(Bowls):
    def sample(self, key: jax.Array) -> Bowl:
        return Cliff(self.curvature)


class Peak(Bowl):
    """f(θ) = −‖θ‖: longer steps are always better."""

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        return -jnp.sqrt(jnp.sum(theta**2))


class Peaks(Bowls):
    def sample(self, key: jax.Array) -> Bowl:
        return Peak(self.curvature)


@pytest.mark.parametrize(
    ("problem", "rates"),
    [(Cliffs(jnp.asarray(1.0)), "1e-19 to 1e+01"), (Peaks(jnp.asarray(1.0)), "1e-02 to 1e+18")],
    ids=["no finite loss", "no longest step"],
)
def test_where_no_rate_is_best_it_says_so(problem: Problem, rates: str, sentence: Callable) -> None:
    assert sentence(tune, "sgd", problem, KEY, **SIZES) == (
        f"sgd has no best rate from {rates} on this problem; "
        "check that its loss is finite and decreases under small steps"
    )


def test_an_unknown_baseline_is_named(sentence: Callable) -> None:
    assert sentence(tune, "adagrad", bowls(1.0), KEY, **SIZES) == (
        "there is no baseline 'adagrad'; known are sgd, nag, rmsprop, adam, adamw, lbfgs"
    )


def regression(theta: jax.Array, key: jax.Array, rows: jax.Array) -> jax.Array:
    """Of a θ of 0 the loss is that of every minibatch, and the gradient is not."""
    return jnp.mean((rows[jax.random.randint(key, (2,), 0, 8)] @ theta - 1.0) ** 2)


def test_line_searches_are_for_an_f_without_minibatches_even_where_theta_begins_at_0() -> None:
    rows = jax.random.normal(KEY, (1, 8, 3))
    drawn = FromFunction(regression, lambda key: jnp.zeros(3), rows)
    first_order = [name for name, rule in BASELINES.items() if not rule.searches_along_line]
    assert baselines_for(drawn) == first_order
    assert baselines_for(bowls(1.0)) == list(BASELINES)
