"""Who is ahead: in pairs, in steps and in loss, whatever unit, problem or few that diverge."""

import math

import numpy as np
import pytest

from metadescent.descent.standings import speed_up, standing

RNG = np.random.default_rng(0)
HARD = np.exp(RNG.normal(size=(40, 1)))  # problems differ by far more than optimizers do
T = np.arange(1, 51)


def falling(rate: float, noise: float = 0.0) -> np.ndarray:
    """Curves e^{−rate t} of 40 problems, times how hard each is."""
    return HARD * np.exp(-rate * T) * np.exp(noise * RNG.normal(size=(40, 50)))


@pytest.mark.parametrize("times", [1, 2, 5])
def test_who_goes_so_many_times_as_fast_has_that_speed_up(times: int) -> None:
    other = np.exp(-0.02 * T)
    mine = np.exp(-0.02 * times * T)
    assert speed_up(mine, other) == pytest.approx(times, rel=0.1)
    assert speed_up(other, other) == 1.0


def test_never_is_0_and_a_reference_that_diverged_says_nothing() -> None:
    assert speed_up(np.ones(10), np.full(10, 0.5)) == 0.0
    assert math.isnan(speed_up(np.ones(10), np.full(10, np.inf)))
    assert speed_up(np.full(10, np.nan), np.ones(10)) == 0.0


@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_losses_below_zero_have_speed_ups_too(shift: float) -> None:
    curve = shift + np.exp(-0.1 * T)
    assert speed_up(curve, curve) == 1.0
    assert standing(shift + falling(0.2), shift + falling(0.1)).sign == 1


@pytest.mark.parametrize("shift", [1e2, 1e4])
def test_a_constant_beside_f_changes_no_speed_up(shift: float) -> None:
    mine, other = np.exp(-0.2 * T), np.exp(-0.1 * T)
    assert speed_up(shift + mine, shift + other) == pytest.approx(speed_up(mine, other), rel=0.1)


def test_less_than_a_thousandth_of_a_loss_puts_nobody_ahead() -> None:
    # It ends a little higher on all problems, and is there in half of the steps.
    floor = 0.2 * HARD
    mine, other = np.maximum(falling(0.2), 1.0002 * floor), np.maximum(falling(0.1), floor)
    assert standing(mine, other).sign == 1
    assert standing(np.maximum(falling(0.2), 1.01 * floor), other).sign == -1


def test_pairs_tell_what_the_spread_over_problems_hides() -> None:
    mine, other = falling(0.102), falling(0.1)
    assert standing(mine, other).sign == 1
    assert standing(other, mine).sign == -1
    assert standing(mine, RNG.permutation(other)).sign == 0


def test_an_optimizer_is_level_with_itself() -> None:
    beside = standing(falling(0.1), falling(0.1))
    assert beside == (0, 1.0, 1.0, 1.0)


def test_where_losses_are_level_steps_decide() -> None:
    floor = 0.2 * HARD
    mine, other = (np.maximum(falling(rate), floor) for rate in (0.2, 0.1))
    beside = standing(mine, other)
    assert beside.sign == 1
    assert 1 < beside.low <= beside.speed_up == pytest.approx(2, rel=0.1)
    assert standing(other, mine).sign == -1


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])
def test_few_that_diverge_decide_nothing_for_whom_they_speak_against(value: float) -> None:
    mine, other = falling(0.2), falling(0.1)
    broken = other.copy()
    broken[:2, 20:] = value
    assert standing(mine, broken).sign == 1
    assert standing(broken, mine).sign == -1
    # The means, which the tables show, say otherwise than most problems do.
    ours = mine.copy()
    ours[:2, 20:] = value
    assert standing(ours, other).sign < 1


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_who_diverges_is_behind_by_its_losses(value: float, count: int) -> None:
    # It ends lower and is no faster where the other is finite: its loss decides.
    mine, other = falling(0.1), falling(0.1)
    other[:count, 20:] = value
    mine[count:, -10:] *= 0.9
    assert standing(mine, other).sign == 1
    mine[:count, 20:] = value
    assert standing(mine, mine).sign == 0


@pytest.mark.parametrize("count", [1, 5])
def test_of_few_problems_losses_say_nothing_for_certain(count: int) -> None:
    assert standing(falling(0.1)[:count] - 0.01, falling(0.1)[:count]).sign in (0, 1)
    assert standing(np.full((count, 9), 0.5), np.ones((count, 9)))[1] == 1.0
