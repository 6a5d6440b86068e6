"""Levels: a curve beside usual steps to some losses, as numbers and as text."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._levels import Level, levels_text, parse_levels
from metadescent.descent.levels import NEVER, relative_time, step_to

CURVE = jnp.asarray([8.0, 4.0, 2.0, 1.0, 0.5])


def test_of_the_usual_curve_itself_it_is_1() -> None:
    levels = [Level(float(loss), step, step) for step, loss in enumerate(CURVE, 1)]
    assert float(relative_time(CURVE, levels)) == pytest.approx(1.0)


def test_twice_as_fast_is_a_half_and_weights_are_of_logarithms() -> None:
    assert float(relative_time(CURVE, [Level(2.0, 6.0), Level(1.0, 8.0)])) == pytest.approx(0.5)
    twice, level = [Level(2.0, 12.0, 3.0), Level(1.0, 4.0)], 2.0 ** (-2 * 3 / 4)
    assert float(relative_time(CURVE, twice)) == pytest.approx(level)


def test_between_steps_a_curve_is_a_straight_line() -> None:
    steps = [float(step_to(CURVE, loss)) for loss in (3.0, 1.25, 8.0, 100.0)]
    assert steps == pytest.approx([2.5, 3.75, 1.0, 1.0])
    # And its first visit counts.
    assert float(step_to(jnp.asarray([3.0, 1.0, 3.0, 0.0]), 2.0)) == pytest.approx(1.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_never_gets_there_or_is_not_finite_counts_for_four_horizons(bad: float) -> None:
    assert float(step_to(CURVE, 0.1)) == NEVER * 5
    assert float(step_to(jnp.full(5, bad), 0.1)) == NEVER * 5
    # Before it, what is not finite says nothing.
    assert float(step_to(jnp.asarray([bad, bad, 1.0]), 2.0)) == 3.0


def test_a_scale_of_f_changes_nothing() -> None:
    levels = [Level(3.0, 2.0), Level(-1.0, 4.0, 2.0)]
    moved = [Level(10 * loss + 7, step, weight) for loss, step, weight in levels]
    fallen = CURVE - 3.0
    assert float(relative_time(10 * fallen + 7, moved)) == pytest.approx(
        float(relative_time(fallen, levels)), rel=1e-5
    )


def test_text_and_levels_are_each_other() -> None:
    levels = (Level(0.5, 10.0), Level(-1.25e-07, 100.0, 2.0))
    assert levels_text(levels) == "0.5@10,-1.25e-07@100*2"
    assert parse_levels(levels_text(levels)) == levels
    assert parse_levels("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.5", "'0.5' in levels is no loss at a step; try levels such as 0.5@10,0.1@100*2"),
        ("0.5@a", "'0.5@a' in levels is no loss at a step; try levels such as 0.5@10,0.1@100*2"),
        ("0.5@0", "step of a level is 0.0 and must be at least 1e-06"),
        ("0.5@1*-1", "weight of a level is -1.0 and must be at least 1e-06"),
    ],
)
def test_what_is_no_level_is_refused(text: str, said: str, sentence: Callable) -> None:
    assert sentence(parse_levels, text) == said
