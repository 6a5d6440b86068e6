"""Figure 5: each claim holds where the numbers bear it out, fails where not, and all of it runs."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent._spec import parse
from metadescent.descent.baselines import STANDARD
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import problems

FIGURE = experiment_of("figure5")
BASELINES = {"sgd": 0.45, "nag": 0.33, "rmsprop": 0.36, "adam": 0.34}
UNITS_40, UNITS_40_200, LAYERS_2, RELU = range(4)


def comparison(
    lstm: float = 0.25, steps: int = 100, width: float = 0.01, **baselines: float
) -> Comparison:
    def curve(level: float, rate: float | None) -> Curve:
        mean = np.full(steps, level)
        return Curve(mean, mean - width, mean + width, rate)

    levels = {**BASELINES, **baselines}
    curves = {"mnist-lstm": curve(lstm, None)} | {n: curve(v, 0.1) for n, v in levels.items()}
    return Comparison("problem", steps, 8, curves, {}, 0.5)


def measured(**replaced: Comparison) -> dict[str, Comparison]:
    found = {
        "40-units": comparison(),
        "40-units-200": comparison(steps=200),
        "2-layers": comparison(),
        "relu": comparison(lstm=0.9),
    }
    return found | {name.strip("_").replace("_", "-"): panel for name, panel in replaced.items()}


def failing(**replaced: Comparison) -> list[int]:
    return [i for i, claim in enumerate(FIGURE.judge(measured(**replaced))) if not claim.holds]


def test_with_levels_such_as_the_papers_every_claim_holds() -> None:
    claims = FIGURE.judge(measured())
    assert len(claims) == 4
    assert all(claim.holds and claim.section == "3.2" for claim in claims)
    for claim, lstm in zip(claims, [0.25, 0.25, 0.25, 0.9], strict=True):
        assert (claim.measured, claim.reference) == pytest.approx((lstm, 0.33))


def test_a_claim_quotes_the_paper_and_says_what_was_compared() -> None:
    texts = [claim.text for claim in FIGURE.judge(measured())]
    assert texts[UNITS_40] == (
        '"the LSTM optimizer generalizes well, and continues to outperform the hand-designed '
        'baselines despite operating outside of its training regime" (40 hidden units): mean loss '
        "over steps 91–100, the LSTM's against the best baseline's; holds if it is less and the "
        "95 % intervals are apart"
    )
    assert "mean loss over steps 181–200" in texts[UNITS_40_200]
    assert "no longer able to generalize" in texts[RELU]
    assert "holds if it is more and the 95 % intervals are apart" in texts[RELU]
    assert len(set(texts)) == len(texts)


def test_each_claim_is_of_its_own_panel() -> None:
    assert failing(_40_units=comparison(0.4)) == [UNITS_40]
    assert failing(_40_units_200=comparison(0.4, steps=200)) == [UNITS_40_200]
    assert failing(_2_layers=comparison(0.4)) == [LAYERS_2]
    assert failing(relu=comparison(0.25)) == [RELU]


def test_any_baseline_may_be_the_best() -> None:
    assert failing(_2_layers=comparison(sgd=0.2)) == [LAYERS_2]
    assert failing(relu=comparison(0.4, sgd=0.2, nag=0.5, rmsprop=0.5, adam=0.5)) == []


def test_overlapping_intervals_decide_nothing() -> None:
    assert failing(_40_units=comparison(0.32), relu=comparison(0.34)) == [UNITS_40, RELU]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_divergence_supports_no_claim(loss: float) -> None:
    diverged = comparison(loss)
    assert failing(_40_units=diverged, _2_layers=diverged, relu=diverged) == [0, 2, 3]
    none = dict.fromkeys(BASELINES, loss)
    nobody = comparison(**none)
    assert failing(_40_units=nobody, relu=nobody) == [UNITS_40, RELU]


def test_the_plot_shows_the_second_half_beyond_the_horizon() -> None:
    figure = FIGURE.plot(measured())
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 100), (100, 200), (0, 100), (0, 100)]
    assert {axes.get_ylabel() for axes in figure.axes} == {"Loss (nats)"}
    assert len({axes.get_title(loc="left") for axes in figure.axes}) == 4
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "SGD", "NAG", "RMSprop", "Adam"]


def test_each_panel_is_a_problem_with_a_name() -> None:
    assert {parse(setting.problem)[0] for setting in FIGURE.settings.values()} <= set(problems())


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_panel_runs_what_the_paper_ran(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: str
) -> None:
    calls, loaded, said = [], [], []

    def compare(learned, problem, problem_name, *, progress, **options) -> Comparison:
        calls.append((list(learned), problem_name, options))
        progress("running")
        return comparison(steps=options["num_steps"])

    def load(name: str) -> LearnedOptimizer:
        loaded.append(name)
        return tiny(name)

    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    monkeypatch.setattr(panels, "compare", compare)
    found = reproduce(
        FIGURE, budget=budget, load=load, seed=3, cache=tmp_path, progress=said.append
    )
    assert list(found.panels) == ["40-units", "40-units-200", "2-layers", "relu"]
    assert loaded == ["mnist-lstm"]
    horizon, seeds = BUDGETS[budget].steps(100), BUDGETS[budget].networks
    for call, problem, steps in zip(
        calls,
        ["mnist-40", "mnist-40", "mnist-2-layers", "mnist-relu"],
        [horizon, 2 * horizon, horizon, horizon],
        strict=True,
    ):
        assert call == (
            ["mnist-lstm"],
            problem,
            {
                "baselines": ("sgd", "nag", "rmsprop", "adam"),
                "num_steps": steps,
                "num_seeds": seeds.report,
                "tune_seeds": seeds.tune,
                "seed": 3,
                "cache": tmp_path,
            }
            | ({} if seeds.tune else {"searched": untuned(STANDARD)}),
        )
    assert said == [f"{name}: running" for name in found.panels]
    assert len(found.claims) == 4


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    said: list[str] = []
    found = reproduce(FIGURE, budget="smoke", load=tiny, progress=said.append)
    assert len(said) == FIGURE.units
    assert [panel.steps for panel in found.panels.values()] == [4, 8, 4, 4]
    json.dumps(found.to_json())
    assert len(found.plot().axes) == 4
