"""Scores: twice as fast is 2, never is 0, and no scale of f changes anything."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadescent.bench.measured import Measured
from metadescent.bench.reference import Reference
from metadescent.bench.score import gain, score_of, summarized

STEPS = np.arange(51)


def falling(rate: float, floor: float = 0.0, begin: float = 1.0) -> np.ndarray:
    return begin * ((1 - floor) * np.exp(-rate * STEPS) + floor)


def test_a_curve_is_as_fast_as_itself() -> None:
    assert gain(falling(0.05), falling(0.05)) == 1.0


@pytest.mark.parametrize("times", [0.8, 2.0, 5.0])
def test_times_as_fast(times: float) -> None:
    reference = falling(0.05)
    # Below its own final loss, which is a mean over the last tenth, it is before its end.
    assert gain(falling(0.05 * times), reference) == pytest.approx(
        times if times > 1 else 0.0, rel=0.02
    )


def test_what_stays_above_never_gets_there() -> None:
    assert gain(falling(0.5, floor=0.2), falling(0.05)) == 0.0


@given(scale=st.floats(1e-6, 1e6))
def test_a_scale_changes_nothing(scale: float) -> None:
    mine, reference = falling(0.1), falling(0.05)
    assert gain(scale * mine, scale * reference) == pytest.approx(gain(mine, reference), rel=1e-3)


def reference() -> Reference:
    return Reference(falling(0.05), falling(0.08), falling(0.01), (0.4, 0.2), {})


def test_a_score_has_all_figures() -> None:
    train = np.stack([falling(0.1), falling(0.1)])
    held_out = 0.1 + train
    score = score_of(Measured(train, held_out, 3.0), reference())
    assert score.speed_up == pytest.approx(2.0, rel=0.02)
    assert score.against_adamw == pytest.approx(1.25, rel=0.02)
    assert score.beats_default
    assert score.held_out_best == pytest.approx(held_out[0].min() / 0.2)
    assert score.held_out_end == pytest.approx(held_out[0, -5:].mean() / 0.4)
    assert (score.diverged, score.seeds, score.seconds) == (0, 2, 3.0)


@pytest.mark.parametrize("end", [np.nan, np.inf, 1e9])
def test_what_diverged_is_counted_and_wins_nothing(end: float) -> None:
    train = np.stack([falling(0.1), falling(0.1)])
    train[1, 20:] = end
    score = score_of(Measured(train, train), reference())
    assert score.diverged == 1
    assert not score.beats_default
    # Where it was before it diverged counts for nothing that it did not reach.
    assert score.speed_up in (0.0, pytest.approx(2.0, rel=0.3))


def test_a_loss_below_zero_has_no_ratio() -> None:
    below = np.stack([falling(0.1) - 0.5])
    score = score_of(Measured(below, below), reference())
    assert math.isnan(score.held_out_end)
    assert math.isnan(score.held_out_best)


def test_a_summary_leaves_out_what_has_no_figure() -> None:
    summary = summarized([math.nan, 1.0, 3.0, 2.0])
    assert summary.median == 2.0
    assert summary.low == 1.0
    assert summary.high == 3.0
    assert all(map(math.isnan, summarized([])))


def test_the_worst_decile_is_that_of_the_bad_end() -> None:
    figures = [float(k) for k in range(1, 11)]
    assert summarized(figures).worst_decile <= 2.0
    assert summarized(figures, larger_is_better=False).worst_decile >= 9.0
