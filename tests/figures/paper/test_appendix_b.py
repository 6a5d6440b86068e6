"""Figures 10 to 13: each observation holds where the numbers bear it out, and all of it runs."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent import zoo
from metadescent.descent.traits import steps_of
from metadescent.descent.tuning import Tuned
from metadescent.figures.output import render
from metadescent.figures.paper import appendix_b, experiment_of, update_functions
from metadescent.figures.paper.appendix_b import BEGUN, live, record_by
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import (
    CARRY,
    CRITERIA,
    OFTEN,
    OWN_WAY,
    SIZE,
    STEPS,
    TIME_SCALE,
)
from metadescent.figures.paper.experiment import reproduce
from metadescent.figures.pictures import pictures_of
from metadescent.meta.loss import forms
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

FIGURES = ("figure10", "figure11", "figure12", "figure13")


RNG = np.random.default_rng(0)
NAMES = ("LSTM", BEGUN, "sgd", "adam")


def runs(level: float, width: float = 0.01) -> list[float]:
    return (level * (1 + width * RNG.normal(size=16))).tolist()


def judged(figure: str, width: float = 0.01, **levels: Sequence[float]) -> dict[str, Any]:
    """Judge a figure by levels of its quantities, of the LSTM, as it begins, of SGD and Adam."""
    values = {
        QUANTITIES[key]: {n: runs(x, width) for n, x in zip(NAMES, of, strict=False)}
        for key, of in levels.items()
    }
    claims = judge_claims(CRITERIA[figure], record_by(100, values))
    return {claim.id: claim for claim in claims}


QUANTITIES = {"size": SIZE, "carry": CARRY, "scale": TIME_SCALE, "loss": "tenth"}
QUANTITIES |= {"steps": STEPS, "way": OWN_WAY}
UPDATES = {
    "size": (0.3, 0.1, 0.1, 0.2),
    "carry": (0.7, 0.5, 0.6, 0.9),
    "scale": (3.0, 9.0, 1.0, 8.0),
    "loss": (0.3, 2.0, 0.5),
}


def failing_10(width: float = 0.01, **changed: Sequence[float]) -> list[str]:
    claims = judged("figure10", width, **UPDATES | changed)
    return [id for id, claim in claims.items() if not claim.holds]


def test_what_the_paper_sees_in_figure_10_holds_where_it_is_so() -> None:
    claims = judged("figure10", **UPDATES)
    assert list(claims) == ["learned", "bigger", "momentum", "shorter"]
    assert all(claim.holds for claim in claims.values())
    assert [(claim.measured, claim.reference) for claim in claims.values()] == [
        pytest.approx(pair, rel=0.02) for pair in ((0.3, 0.5), (0.3, 0.2), (0.7, 0.6), (3.0, 8.0))
    ]
    assert {claim.section for id, claim in claims.items() if id != "learned"} == {"B"}
    assert '"the trained optimizer makes bigger updates than SGD and ADAM"' in claims["bigger"].text
    assert '"it uses some kind of momentum"' in claims["momentum"].text
    assert "shorter time-scale momentum" in claims["shorter"].text


def test_and_fails_where_it_is_not() -> None:
    assert failing_10(size=(0.15, 0.1, 0.1, 0.2)) == ["bigger"]
    assert failing_10(size=(0.15, 0.1, 0.2, 0.1)) == ["bigger"]
    assert failing_10(scale=(9.0, 9.0, 1.0, 8.0)) == ["shorter"]
    # There is no momentum of a short time scale where there is none.
    assert failing_10(carry=(0.6, 0.5, 0.6, 0.9)) == ["momentum", "shorter"]
    assert failing_10(carry=(0.5, 0.5, 0.6, 0.9)) == ["momentum", "shorter"]
    # Nor is anything bigger of what descends no further than before, or than SGD.
    assert failing_10(loss=(2.0, 2.0, 0.5)) == ["learned", "bigger"]
    assert failing_10(loss=(0.5, 2.0, 0.5)) == ["learned", "bigger"]


@pytest.mark.parametrize("width", [10.0, math.nan])
def test_intervals_that_are_open_decide_nothing(width: float) -> None:
    assert failing_10(width=width) == ["learned", "bigger", "momentum", "shorter"]


@pytest.mark.parametrize(
    ("steps", "way", "expected"),
    [
        ((0.7, 0.0, 0.0, 0.9), 0.1, []),
        ((0.4, 0.0, 0.0, 0.9), 0.1, ["step-like", "opposite"]),
        ((0.5, 0.0, 0.0, 0.9), 0.1, ["step-like", "opposite"]),
        ((0.7, 0.0, 0.0, 0.4), 0.1, ["adam"]),
        ((0.7, 0.0, 0.0, 0.9), 0.001, ["opposite"]),
        ((0.0, 0.0, 0.0, 0.9), 0.0, ["step-like", "opposite"]),
    ],
)
def test_what_the_paper_sees_in_figures_11_to_13(
    steps: Sequence[float], way: float, expected: list[str]
) -> None:
    claims = judged("figure11", steps=steps, way=(way,))
    assert [id for id, claim in claims.items() if not claim.holds] == expected
    assert "opposite direction as for ADAM" in claims["opposite"].text


def test_shares_are_counted_over_coordinates_and_steps() -> None:
    x = np.linspace(-1, 1, 101)
    down, up, line = -np.sign(x), np.sign(x), -x
    ripple = 1.0 + 0.05 * np.sign(x)  # sharp, and hardly seen
    shares = update_functions.shares_of(
        {
            "LSTM": np.stack([[down, up], [line, down]]),
            BEGUN: np.stack([[ripple, ripple], [line, -ripple]]),
            "sgd": np.stack([[line, line], [line, line]]),
            "adam": np.stack([[down, down], [down, line]]),
        }
    )
    assert shares[STEPS] == {"LSTM": 0.75, BEGUN: 0.0, "sgd": 0.0, "adam": 0.75}
    assert shares[OWN_WAY] == {"LSTM": 0.25}


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

    def run(figure: str, rule: Any = m) -> Any:
        experiment, reports = experiment_of(figure), []
        reproduction = reproduce(
            experiment,
            budget="smoke",
            load={"mnist-lstm": rule}.get,
            begin={"mnist-lstm": m}.get,
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
        assert len(result.claims) == len(CRITERIA[figure])
        assert result.measured["optimizer"] == "mnist-lstm"
        # Of one and the same rule nothing is learned, and one that nobody trained has no steps.
        holds = {
            claim.id for claim in judge_claims(CRITERIA[figure], result.records) if claim.holds
        }
        assert holds <= {"adam"}
        assert set(result.measured["rates"]) == {"sgd", "adam"}
        assert json.loads(json.dumps(result.to_json()))["measured"] == result.measured
    steps = BUDGETS["smoke"].steps(100)
    lines = found["figure10"].plot().axes[0].lines
    assert [len(line.get_ydata()) for line in lines] == [steps] * 4
    assert len(found["figure11"].plot().axes) == steps
    drawn = [found[figure].plot().axes[0].lines[0].get_ydata() for figure in FIGURES[1:]]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[1], drawn[2])


class SGD(LearnedOptimizer):
    """Gradient descent, as if its rate had been learned."""

    rate: jax.Array

    def init(self, params: Any) -> Any:
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        return jax.tree.map(lambda gradient: -self.rate * gradient, updates), state


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["figure10", "figure11"])
def test_of_sgd_nothing_holds_that_the_paper_sees_of_the_lstm(figure: str, tiny: Any) -> None:
    result = tiny(figure, SGD(jnp.asarray(0.3)))
    holds = {claim.id for claim in judge_claims(CRITERIA[figure], result.records) if claim.holds}
    assert holds <= {"adam"}
    (record,) = result.records.values()
    quantity = CARRY if figure == "figure10" else STEPS
    np.testing.assert_allclose(record.values[quantity]["LSTM"], record.values[quantity]["sgd"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_an_lstm_that_has_learned_nothing_is_not_step_like(seed: int) -> None:
    """Though the sign that the preprocessing passes on makes its update jump a little at 0."""
    m = LSTM(key=jax.random.key(seed))
    rules = {"LSTM": m, "adam": optax.adam(0.03)}
    pictures = pictures_of(rules, Quadratic(), jax.random.key(7), num_steps=8, count=10, seed=seed)
    shares = update_functions.shares_of(pictures.curves)
    assert shares[STEPS]["LSTM"] < OFTEN / 2
    assert steps_of(pictures.curves["LSTM"])[0].mean() > 0.5


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
