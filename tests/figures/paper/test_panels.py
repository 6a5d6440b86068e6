"""Panels of learning curves are an experiment: run, judged, drawn and written from end to end."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.descent.baselines import BASELINES
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison, problem_keys
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import Tuned, untuned
from metadescent.descent.tuning_cache import keep_tuned
from metadescent.figures.paper import experiment_of, experiments, panels
from metadescent.figures.paper.budgets import BUDGETS, Budget, Seeds
from metadescent.figures.paper.claims import Claim
from metadescent.figures.paper.criterion import Criterion
from metadescent.figures.paper.experiment import Context, Reproduction, reproduce
from metadescent.figures.paper.panels import LearningCurves, Setting
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.problems.quadratic import Quadratic

F, G = "f", "g"
PROBLEMS = {F: Quadratic(dimension=2), G: Quadratic(dimension=3)}
SETTINGS = {
    "first": Setting(F, "mine", 20, "functions", "First", "Loss", ("sgd",)),
    "again": Setting(F, "mine", 40, "functions", "Again", "Loss", ("sgd",), second_half=True),
    "other": Setting(G, "mine", 20, "functions", "Other", "Loss", ("sgd",)),
}


class Steps(LearnedOptimizer):
    """Gradient descent, as if its rate had been learned."""

    rate: jax.Array

    def init(self, params: Any) -> Any:
        return ()

    def update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        return jax.tree.map(lambda gradient: -self.rate * gradient, updates), state


def tiny(name: str) -> Steps:
    assert name == "mine"
    return Steps(jnp.asarray(0.01))


def criterion(panel: str, quantity: str = "last") -> Criterion:
    return Criterion(panel, '"said"', "3", (panel,), quantity)


def test_a_budget_is_seeds_and_a_part_of_the_horizon() -> None:
    assert (BUDGETS["smoke"].steps(100), BUDGETS["paper"].steps(100)) == (4, 100)
    assert all(BUDGETS["smoke"].steps(of) % 2 == 0 for of in range(1, 200))
    assert BUDGETS["cpu"].seeds("networks") == BUDGETS["cpu"].networks


def test_from_end_to_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With one optimizer of each kind, and a rate that was tuned before."""
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: PROBLEMS[spec])
    monkeypatch.setitem(BUDGETS, "smoke", Budget(*[Seeds(2, 2)] * 8, horizon=0.1))
    by_hand = {"still": lambda: Steps(jnp.asarray(0.0))}
    setting = Setting(F, "mine", 40, "functions", "First", "Loss", ("sgd",), by_hand=by_hand)
    experiment = LearningCurves("mine", {"first": setting}, [criterion("first", "from 20")])
    assert experiment.optimizers == ("mine",)
    tuned = Tuned(0.125, [0.1, 0.125, 0.2], [2.0, 1.0, 2.0], "by hand")
    keep_tuned(tuned, tmp_path, "sgd", PROBLEMS[F], problem_keys(0)[0], 4, 2)
    reports: list[str] = []
    reproduction = reproduce(
        experiment,
        budget="smoke",
        load=tiny,
        begin=lambda name: Steps(jnp.asarray(0.001)),
        cache=tmp_path,
        progress=reports.append,
    )
    # Learned, as it begins, by hand; tuned and run.
    assert len(reports) == experiment.units == 1 + 1 + 1 + 2
    (panel,) = reproduction.panels.values()
    assert panel.steps == 4
    assert {name: curve.rate for name, curve in panel.curves.items()} == {
        "mine": None,
        "still": None,
        as_begun("mine"): None,
        "sgd": 0.125,
    }
    assert panel.curves[as_begun("mine")].final > panel.curves["mine"].final
    assert len(set(panel.curves["still"].mean.tolist())) == 1
    (claim,) = reproduction.claims
    assert (claim.measured, claim.reference) == pytest.approx(
        [panel.curves[name].final for name in ("mine", "sgd")], rel=1e-5
    )
    (record,) = reproduction.records.values()
    # By hand is not learned by training, and no baseline.
    assert (record.learned, record.baselines) == (("mine", "still"), ("sgd",))
    assert set(record.values) == {"last", "tenth", "tenths", "sum", "from 20"}
    written = reproduction.to_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert written["rates"]["first"]["sgd"] == {
        "rate": 0.125,
        "level": [0.125, 0.125],
        "grid": [0.1, 0.125, 0.2],
        "final_losses": [2.0, 1.0, 2.0],
    }
    (axes,) = reproduction.plot().axes
    assert axes.get_title(loc="left") == "First"
    shown = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert shown == ["LSTM", "still", "LSTM, as it begins", "SGD"]


@pytest.mark.parametrize("figure", experiments())
def test_a_smoke_run_tunes_nothing_and_judges_nothing(
    figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of(figure)
    claims = [Claim("", "", "3", 1.0, 2.0, "", *[0.5] * 4, holds) for holds in (True, False)]

    def run(context: Context) -> Reproduction:
        assert set(context.begun) == set(context.learned) == set(experiment.optimizers)
        return Reproduction(figure, {}, {}, claims, lambda: None)

    monkeypatch.setattr(experiment, "run", run)
    smoke, cpu = (
        reproduce(
            experiment, budget=budget, load=lambda _: tiny("mine"), begin=lambda _: tiny("mine")
        ).claims
        for budget in ("smoke", "cpu")
    )
    assert [claim.holds for claim in smoke] == [None, None]
    assert cpu == claims
    assert experiment.searches(BUDGETS["smoke"], 1) == []


def test_what_is_not_tuned_has_a_rate_within_its_grid() -> None:
    for name, tuned in untuned(list(BASELINES)).items():
        low, high = (10.0**decade for decade in BASELINES[name].decades)
        assert low < tuned.rate < high


@pytest.mark.parametrize("one_by_one", [False, True])
def test_panels_of_one_problem_share_it(
    one_by_one: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And one by one, each problem is made when its turn comes and let go after it."""
    events: list[str] = []

    def make_one(spec: str, data_dir: Path) -> Problem:
        assert data_dir == tmp_path
        events.append(f"make {spec}")
        return PROBLEMS[spec]

    def compare(rules: Any, problem: Problem, name: str, **options: Any) -> Comparison:
        assert problem is PROBLEMS[name]
        events.append(f"compare {name} {options['num_steps']}")
        curves = {"mine": Curve(*np.ones((3, 2)))}
        losses = {"mine": np.ones((2, options["num_steps"]))}
        return Comparison(name, options["num_steps"], 2, curves, {}, 0.5, losses=losses)

    monkeypatch.setattr(panels, "make_problem", make_one)
    monkeypatch.setattr(panels, "compare", compare)
    monkeypatch.setattr(jax, "clear_caches", lambda: events.append("clear"))
    experiment = LearningCurves("mine", SETTINGS, [], one_by_one=one_by_one)
    reproduction = reproduce(experiment, load=tiny, begin=tiny, data_dir=tmp_path)
    assert list(reproduction.panels) == list(SETTINGS)
    first, again, other = f"compare {F} 20", f"compare {F} 40", f"compare {G} 20"
    assert events == (
        [f"make {F}", first, again, "clear", f"make {G}", other, "clear"]
        if one_by_one
        else [f"make {F}", f"make {G}", first, again, other]
    )


def test_searches_that_come_with_the_package_are_of_seed_0() -> None:
    experiment = LearningCurves("figure7", {}, [])
    assert experiment.kept.is_file()
    panel, (name, *_) = next(iter(json.loads(experiment.kept.read_text()).items()))
    entry = json.loads(experiment.kept.read_text())[panel][name]
    sizes = entry["num_steps"], entry["num_seeds"]
    budget = BUDGETS["cpu"]._replace(convolutions=Seeds(8, sizes[1]))
    setting = Setting("f", "mine", sizes[0], "convolutions", "", "", (name,))
    experiment = LearningCurves("figure7", {panel: setting}, [])
    assert experiment.searches(budget, seed=0) == []
    assert experiment.searches(budget, seed=1) == [(name, "f", *sizes)]
