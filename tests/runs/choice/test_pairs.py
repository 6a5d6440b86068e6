"""The time in pairs: what is luck on one set of problems is not on another."""

import numpy as np
import pytest

from metadescent.runs.choice.pairs import paired_time

STEPS = np.arange(1, 101)
NOISE = np.random.default_rng(0).normal(size=(100, 1))


def falling(rate: float, floor: float = 0.0) -> np.ndarray:
    """Curves that fall to a floor, on problems that differ."""
    return np.exp(-rate * STEPS) * np.exp(0.1 * NOISE) + floor


def time_of(mine: np.ndarray) -> float:
    return paired_time(mine, {"adam": falling(0.03)}, "adam")


def test_the_baseline_itself_takes_its_own_time() -> None:
    assert time_of(falling(0.03)) == pytest.approx(1.0, rel=0.02)


def test_twice_as_fast_is_a_half() -> None:
    assert time_of(falling(0.06)) == pytest.approx(0.5, rel=0.05)


def test_a_scale_of_f_changes_nothing() -> None:
    scaled = paired_time(1e3 * falling(0.06), {"adam": 1e3 * falling(0.03)}, "adam")
    assert scaled == pytest.approx(time_of(falling(0.06)), rel=1e-4)


def test_what_fails_on_one_problem_in_a_hundred_is_slow() -> None:
    stuck = falling(0.06)
    stuck[3, 20:] = 10.0
    assert time_of(falling(0.06)) < 0.6 < time_of(stuck)
    stuck[3, 20:] = np.inf
    assert 0.6 < time_of(stuck) < np.inf


def test_what_gets_there_by_a_hair_does_so_in_half_of_the_draws() -> None:
    # As low as the baseline in the mean, and higher or lower on each problem.
    luck = 0.02 * np.random.default_rng(1).normal(size=(100, 1))
    luck -= luck.mean()
    by_a_hair = falling(0.06, floor=falling(0.03)[:, -10:].mean()) + luck * (STEPS > 40)
    safe = falling(0.06, floor=0.5 * falling(0.03)[:, -10:].mean())
    assert time_of(by_a_hair) > 1.2 * time_of(safe)


def test_what_never_ends_as_low_is_chosen_by_no_speed_before() -> None:
    fast = falling(0.12, floor=1.05 * falling(0.03)[:, -10:].mean())
    assert time_of(falling(0.035)) < time_of(fast)
