"""Figures 10 to 13: each observation holds where the numbers bear it out, and all of it runs."""

import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from metadescent import zoo
from metadescent.descent.tuning import Tuned
from metadescent.figures.output import render
from metadescent.figures.paper import appendix_b, experiment_of, figure10, update_functions
from metadescent.figures.paper.appendix_b import live
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.claims import Score
from metadescent.figures.paper.experiment import reproduce
from metadescent.figures.paper.update_functions import Shares
from metadescent.meta.loss import forms
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

FIGURES = ("figure10", "figure11", "figure12", "figure13")


def score(value: float, width: float = 0.01) -> Score:
    return Score(value, value - width, value + width)


def traits(
    size: tuple[float, ...] = (0.3, 0.1, 0.2),
    scale: tuple[float, ...] = (3.0, 1.0, 8.0),
    width: float = 0.01,
) -> dict[str, dict[str, Score]]:
    names = ("LSTM", "sgd", "adam")
    return {
        trait: {name: score(v, width) for name, v in zip(names, values, strict=True)}
        for trait, values in (("size", size), ("time scale", scale))
    }


def holds(**options: Any) -> list[bool]:
    return [claim.holds for claim in figure10._judge(traits(**options))]


def test_what_the_paper_sees_in_figure_10_holds_where_it_is_so() -> None:
    claims = figure10._judge(traits())
    assert [claim.holds for claim in claims] == [True] * 3
    assert [(c.measured, c.reference) for c in claims] == [(0.3, 0.2), (3.0, 1.0), (3.0, 8.0)]
    assert {claim.section for claim in claims} == {"B"}
    assert '"the trained optimizer makes bigger updates than SGD and ADAM"' in claims[0].text
    assert '"it uses some kind of momentum"' in claims[1].text
    assert "shorter time-scale momentum" in claims[2].text


def test_and_fails_where_it_is_not() -> None:
    assert holds(size=(0.15, 0.1, 0.2)) == [False, True, True]
    assert holds(size=(0.15, 0.2, 0.1)) == [False, True, True]
    assert holds(scale=(0.9, 1.0, 8.0)) == [True, False, True]
    assert holds(scale=(9.0, 1.0, 8.0)) == [True, True, False]


@pytest.mark.parametrize("width", [10.0, math.nan])
def test_intervals_that_touch_decide_nothing(width: float) -> None:
    assert holds(width=width) == [False] * 3


def shares(lstm: float = 0.7, adam: float = 0.9, opposite: float = 0.1) -> Shares:
    return Shares({"LSTM": lstm, "sgd": 0.0, "adam": adam}, opposite)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (shares(), [True, True, True]),
        (shares(lstm=0.4), [False, True, True]),
        (shares(adam=0.4), [True, False, True]),
        (shares(opposite=0.0), [True, True, False]),
    ],
)
def test_what_the_paper_sees_in_figures_11_to_13(found: Shares, expected: list[bool]) -> None:
    claims = update_functions._judge(found)
    assert [claim.holds for claim in claims] == expected
    assert "opposite direction as for ADAM" in claims[2].text


def test_shares_are_counted_over_coordinates_and_steps() -> None:
    x = np.linspace(-1, 1, 101)
    down, up, line = -np.sign(x), np.sign(x), -x
    found = update_functions._measure(
        {
            "LSTM": np.stack([[down, up], [line, down]]),
            "sgd": np.stack([[line, line], [line, line]]),
            "adam": np.stack([[down, down], [down, line]]),
        }
    )
    assert found.step_like == {"LSTM": 0.75, "sgd": 0.0, "adam": 0.75}
    assert found.opposite == pytest.approx(1 / 3)
    lines = dict.fromkeys(("LSTM", "sgd", "adam"), np.stack([[line]]))
    assert update_functions._measure(lines).opposite == 0.0


def test_coordinates_are_shown_that_have_a_gradient_at_every_step() -> None:
    assert live(np.array([[1.0, 0.0], [2.0, 1.0]])).tolist() == [True, False]
    assert live(np.zeros((2, 2))).tolist() == [True, True]


def test_the_one_that_is_shown_treats_coordinates_for_themselves() -> None:
    assert all(experiment_of(figure).optimizers == ("mnist-lstm",) for figure in FIGURES)
    assert "two-phase" in forms(zoo.load("mnist-lstm"))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a figure on quadratics of three dimensions, rates found once."""
    monkeypatch.setattr(appendix_b, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    m = LSTM((4,), p=10.0, scale=0.1, key=jax.random.key(0))

    def run(figure: str) -> Any:
        experiment, reports = experiment_of(figure), []
        reproduction = reproduce(
            experiment,
            budget="smoke",
            load={"mnist-lstm": m}.get,
            cache=tmp_path,
            progress=reports.append,
        )
        assert len(reports) == experiment.units
        return reproduction

    return run


@pytest.mark.slow
def test_each_figure_is_measured_judged_and_drawn(tiny: Any) -> None:
    found = {figure: tiny(figure) for figure in FIGURES}
    for figure, result in found.items():
        assert result.figure == figure
        assert len(result.claims) == 3
        assert result.measured["optimizer"] == "mnist-lstm"
        assert set(result.measured["rates"]) == {"sgd", "adam"}
        assert json.loads(json.dumps(result.to_json()))["measured"] == result.measured
    steps = BUDGETS["smoke"].steps(100)
    lines = found["figure10"].plot().axes[0].lines
    assert [len(line.get_ydata()) for line in lines] == [steps] * 3
    assert len(found["figure11"].plot().axes) == steps
    drawn = [found[figure].plot().axes[0].lines[0].get_ydata() for figure in FIGURES[1:]]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


@pytest.mark.parametrize("figure", ["figure10", "figure13"])
def test_two_runs_give_the_same_bytes(
    figure: str, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:

    def tune_each(names: Any, *sizes: Any) -> dict[str, Tuned]:
        *_, progress, searched = sizes
        assert set(searched) == set(names)
        for name in names:
            progress(f"tuned {name}")
        return {name: Tuned(0.1, [], [], "given") for name in names}

    monkeypatch.setattr(appendix_b, "tune_each", tune_each)
    monkeypatch.setattr(update_functions, "FUNCTION_STEPS", 4)
    first, second = (render(tiny(figure).plot(), ".svg") for _ in range(2))
    assert first == second
