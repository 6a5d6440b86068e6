"""Pairs: intervals that cover, a verdict that errs as rarely as it says, and what it cannot see."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from metadescent.descent.pairs import Ratio, difference, quantile, ratio_of_means

RNG = np.random.default_rng(0)
TRIALS = 2000


def runs(n: int, ratio: float, noise: float = 0.1, trials: int = TRIALS) -> tuple[np.ndarray, ...]:
    """Return losses of two optimizers, a trial a column, whose means have a known ratio.

    Problems differ by far more than the optimizers do, and so do the noises of the two.
    """
    hard = np.exp(0.7 * RNG.normal(size=(n, trials)))
    mine, other = (hard * (1 + noise * RNG.normal(size=(n, trials))) for _ in range(2))
    return ratio * mine, other


# Means of skewed losses are nearly Gaussian where there are many.
@pytest.mark.parametrize(("n", "within"), [(8, 0.03), (64, 0.015)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_intervals_cover_the_truth_as_often_as_they_say(
    n: int, within: float, level: float
) -> None:
    mine, other = runs(n, 0.9)
    low, high = difference(mine, other, 0.9, level)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(level, abs=within)
    interval = ratio_of_means(mine, other, level)
    assert np.mean((interval.low <= 0.9) & (interval.high >= 0.9)) == pytest.approx(
        level, abs=within
    )


def test_students_interval_is_that_of_a_t_test_in_pairs() -> None:
    mine, other = runs(12, 0.9, trials=3)
    low, high = difference(mine, other)
    for column in range(3):
        known = stats.ttest_rel(mine[:, column], other[:, column]).confidence_interval(0.95)
        assert (low[column], high[column]) == pytest.approx((known.low, known.high))


@pytest.mark.parametrize("margin", [0.7, 0.9, 0.95, 1.0, 1.2])
def test_a_margin_is_outside_the_ratio_s_interval_where_the_difference_is_certain(
    margin: float,
) -> None:
    mine, other = runs(16, 0.95)
    low, high = difference(mine, other, margin)
    interval = ratio_of_means(mine, other)
    assert np.array_equal(high < 0, interval.high < margin)
    assert np.array_equal(low > 0, interval.low > margin)


def test_both_errors_of_an_equivalence_test() -> None:
    """At the margin it says "no worse" once in forty times; far below it, nearly always."""

    def yes(ratio: float) -> float:
        _, high = difference(*runs(64, ratio), 1.05)
        return float(np.mean(high < 0))

    assert yes(1.05) == pytest.approx(0.025, abs=0.01)
    assert yes(1.15) == 0.0
    assert yes(0.95) > 0.98
    # Intervals that overlap would have said yes of one that is a tenth worse.
    mine, other = runs(64, 1.1)
    spread = [1.96 * losses.std(0) / 8 for losses in (mine, other)]
    assert np.mean(mine.mean(0) - spread[0] <= other.mean(0) + spread[1]) > 0.9


def test_what_problems_have_in_common_does_not_count() -> None:
    mine, other = runs(10, 0.9, trials=5)
    shift = 100 * RNG.normal(size=(10, 5))
    for one, shifted in zip(
        difference(mine, other), difference(mine + shift, other + shift), strict=True
    ):
        np.testing.assert_allclose(one, shifted, rtol=1e-9, atol=1e-9)
    apart = difference(mine, np.roll(other, 1, axis=0))
    assert (apart[1] - apart[0] > 2 * np.subtract(*difference(mine, other)[::-1])).all()


@pytest.mark.parametrize("scale", [1e-12, 3.0, 1e9])
def test_a_unit_does_not_count(scale: float) -> None:
    mine, other = runs(10, 0.9, trials=5)
    for one, scaled in zip(
        ratio_of_means(mine, other), ratio_of_means(scale * mine, scale * other), strict=True
    ):
        np.testing.assert_allclose(one, scaled)


def test_who_is_twice_as_good_on_every_problem_has_an_interval_of_no_width() -> None:
    other = np.exp(RNG.normal(size=10))
    assert ratio_of_means(0.5 * other, other) == pytest.approx((0.5, 0.5, 0.5))
    assert difference(other, other) == (0.0, 0.0)


@pytest.mark.parametrize(
    "bound", [lambda a, b: difference(a, b), lambda a, b: ratio_of_means(a, b)[1:]]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_certain_of_nothing(bound: Callable, value: float) -> None:
    mine, other = (values[:, 0] for values in runs(10, 0.5, trials=1))
    for broken, whole in itertools.permutations((mine, other)):
        broken = broken.copy()
        broken[3] = value
        assert np.isnan([*bound(broken, whole), *bound(whole, broken)]).all()


def test_of_one_problem_nothing_is_certain() -> None:
    one, two = np.array([1.0]), np.array([2.0])
    assert difference(one, two) == (-math.inf, math.inf)
    assert ratio_of_means(one, two) == (0.5, -math.inf, math.inf)


def test_a_mean_that_may_be_zero_leaves_a_ratio_open() -> None:
    other = np.array([-1.0, 2.0, 0.5, -0.7, 1.0])
    ratio = ratio_of_means(np.ones(5), other)
    # It is not small: one is not zero.
    assert 0 < ratio.low < ratio.value < ratio.high == math.inf
    ratio = ratio_of_means(other[::-1], other)
    assert (ratio.low, ratio.high) == (-math.inf, math.inf)
    assert np.isnan(ratio_of_means(np.ones(5), -np.ones(5))).all()
    assert np.isnan(ratio_of_means(-np.ones(5), np.ones(5))).all()


def test_columns_go_one_by_one() -> None:
    mine, other = (x.reshape(6, 3, 2) for x in runs(6, 0.9, trials=6))
    whole = ratio_of_means(mine, other)
    assert isinstance(whole, Ratio)
    assert whole.low.shape == (3, 2)
    alone = ratio_of_means(mine[:, 1, 1], other[:, 1, 1])
    assert [float(values[1, 1]) for values in whole] == pytest.approx([float(x) for x in alone])


@pytest.mark.parametrize("dof", [1, 7, 63])
def test_the_quantile_is_students(dof: int) -> None:
    assert quantile(dof, 0.95) == pytest.approx(stats.t.ppf(0.975, dof))
