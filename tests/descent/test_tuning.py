"""The rate that a search returns is the best of a grid that contains its optimum."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import final_loss, learning_curves
from metadescent.descent.tuning import Tuned, _figures, baselines_for, tune
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
    assert tuned.criterion == (
        "mean loss, capped where it blows up, over the last tenth of 10 steps, 2 problems"
    )
    assert tuned.diverged is not None
    assert len(tuned.diverged) == len(tuned.grid)


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
    assert tuned.diverged is not None
    assert (tuned.diverged[0], tuned.diverged[-1]) == (0, 2)


@pytest.mark.parametrize(
    ("losses", "flat"),
    [
        ([3.0, 1.02, 1.0, 1.021, 2.0], (2.0, 3.0)),
        ([1.01, 1.02, 1.0, 1.005, 1.0], (1.0, 5.0)),
        # Around the best, not wherever a loss is as low.
        ([1.01, 1.3, 1.0, np.inf, 1.01], (3.0, 3.0)),
        ([np.nan, 1.0, 1.0, np.nan, 1.0], (2.0, 3.0)),
        # Parts of its size, where f is below zero.
        ([0.0, -99.0, -100.0, -98.0, -97.0], (2.0, 4.0)),
    ],
)
def test_rates_within_a_fiftieth_of_the_best_are_level_with_it(
    losses: list[float], flat: tuple[float, float]
) -> None:
    grid = [1.0, 2.0, 3.0, 4.0, 5.0]
    tuned = Tuned(3.0, grid, losses, "by hand")
    assert tuned.flat == flat
    low, high = flat
    words = [word for *_, word in tuned.rows()]
    assert words == [
        "best" if rate == 3.0 else "level" if low <= rate <= high else "" for rate in grid
    ]
    assert bool(tuned.span) == (low < high)


def test_a_rate_that_was_not_searched_stands_alone() -> None:
    tuned = Tuned(0.1, [], [], "by hand")
    assert (tuned.flat, tuned.span, tuned.rows()) == ((0.1, 0.1), "", [])


RNG = np.random.default_rng(0)
NOTHING = 1.0 + RNG.random(128)
"""Losses of doing nothing on 128 problems."""
ENDS = np.outer([0.9, 0.5, 0.2, 0.4], NOTHING)
"""Final losses at four rates, the third of which is the best."""


def best(losses: np.ndarray, nothing: np.ndarray = NOTHING) -> int:
    return int(np.argmin(_figures(list(losses), nothing)[0]))


def test_where_nothing_blows_up_the_figure_is_the_mean() -> None:
    figures, diverged = _figures(list(ENDS), NOTHING)
    np.testing.assert_allclose(figures, ENDS.mean(1))
    assert not diverged.any()


@pytest.mark.parametrize("loss", [1e3, 1e30, np.inf, np.nan])
def test_a_rate_that_diverges_on_one_problem_and_is_a_hair_better_is_not_best(loss: float) -> None:
    losses = ENDS.copy()
    losses[3] = 0.99 * losses[2]
    assert best(losses) == 3
    losses[3, 5] = loss
    assert best(losses) == 2
    np.testing.assert_array_equal(_figures(list(losses), NOTHING)[1], [0, 0, 0, 1])


@pytest.mark.parametrize("loss", [1e3, 1e30, np.inf, np.nan])
def test_a_rate_that_diverges_on_one_problem_and_is_far_better_is_best(loss: float) -> None:
    losses = ENDS.copy()
    losses[2, 5] = loss
    assert best(losses) == 2


@pytest.mark.parametrize("problem", [0, 77])
@pytest.mark.parametrize("at", [slice(None), 1, 2], ids=["at all rates", "at one", "at the best"])
def test_an_extreme_problem_does_not_choose_for_all(problem: int, at: slice | int) -> None:
    losses, nothing = ENDS.copy(), NOTHING.copy()
    nothing[problem] = 100.0
    # On it a small rate is best.
    losses[:, problem] = [50.0, 500.0, 5000.0, 5000.0]
    chosen = best(losses, nothing)
    losses[at, problem] *= 1e6
    assert best(losses, nothing) == chosen == 2
    nothing[problem] *= 1e6
    assert best(losses, nothing) == 2


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_of_the_loss_chooses_nothing(unit: float) -> None:
    losses = ENDS * RNG.lognormal(sigma=2.0, size=ENDS.shape)
    figures, diverged = _figures(list(losses), NOTHING)
    scaled, again = _figures(list(unit * losses), unit * NOTHING)
    np.testing.assert_allclose(scaled, unit * figures)
    np.testing.assert_array_equal(again, diverged)


def test_starts_around_zero_cap_no_usual_loss() -> None:
    nothing = RNG.normal(size=128)
    losses = nothing - np.array([[0.1], [2.0], [1.0]])
    np.testing.assert_allclose(_figures(list(losses), nothing)[0], losses.mean(1))


class Rare(Bowls):
    """Of 64 functions about one is steeper by `curvature`, and all others have curvature 1."""

    def sample(self, key: jax.Array) -> Bowl:
        return Bowl(jnp.where(jax.random.uniform(key) < 1 / 64, self.curvature, 1.0))


def test_one_steep_function_costs_the_others_nothing() -> None:
    chosen = tune("sgd", Rare(jnp.asarray(1e6)), KEY, num_steps=10, num_seeds=256)
    at = chosen.grid.index(chosen.rate)
    assert chosen.rate == pytest.approx(BEST)
    assert chosen.diverged is not None
    assert 0 < chosen.diverged[at] < 16


def test_all_rates_at_once_are_one_by_one(tuned: Tuned) -> None:
    assert tuned.diverged is not None
    for rate, loss, gone in list(zip(tuned.grid, tuned.final_losses, tuned.diverged, strict=True))[
        ::4
    ]:
        curves = learning_curves(BASELINES["sgd"].at(rate), bowls(1.0), KEY, **SIZES)
        expected = np.inf if gone else float(final_loss(curves).mean())
        assert loss == pytest.approx(expected, rel=1e-3)


def test_side_by_side_there_is_one_word_for_a_grid() -> None:
    words: list[str] = []
    tuned = tune("sgd", bowls(1.0), KEY, **SIZES, progress=lambda text, _: words.append(text))
    assert words == [f"tuning sgd, {len(tuned.grid)} of {len(tuned.grid)} rates"]


def test_state_is_fresh_every_time() -> None:
    first, again = (tune("adam", bowls(1.0), KEY, **SIZES) for _ in range(2))
    assert first == again


class Cliff(Bowl):
    """‖θ‖ with a gradient that leads uphill: shorter steps are always better."""

    def loss(self, theta: jax.Array, key: jax.Array) -> jax.Array:
        height = jnp.sqrt(jnp.sum(theta**2))
        return 2 * jax.lax.stop_gradient(height) - height


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
    ids=["no shortest step", "no longest step"],
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
