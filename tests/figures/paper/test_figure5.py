"""Figure 5: each claim holds where the numbers bear it out, fails where not, and all of it runs."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import jax
import pytest

from metadescent._spec import parse
from metadescent.descent.baselines import STANDARD
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import problems

FIGURE = experiment_of("figure5")


def test_a_claim_quotes_the_paper_and_says_what_was_compared(claims: Callable) -> None:
    judged = claims(FIGURE)
    assert list(judged) == ["40-units", "40-units-200", "2-layers", "relu", "learned"]
    assert judged["40-units"].text == (
        '"the LSTM optimizer generalizes well, and continues to outperform the hand-designed '
        'baselines despite operating outside of its training regime" (40 hidden units): mean loss '
        "over steps 91–100, the LSTM's beside each baseline's; holds if the 95 % interval of the "
        "ratio to each is below 1"
    )
    assert "mean loss over steps 181–200" in judged["40-units-200"].text
    assert "no longer able to generalize" in judged["relu"].text
    assert "to one of them is above 1, at 95 % for all together" in judged["relu"].text


@pytest.mark.parametrize("name", ["40-units", "40-units-200", "2-layers"])
def test_each_claim_is_of_its_own_panel(name: str, panel: Callable, failing: Callable) -> None:
    # What cannot do on sigmoids either is not "no longer" able to.
    lost = ["relu"] if name == "40-units" else []
    assert failing(FIGURE, {name: panel(FIGURE.settings[name], 0.4)}) == [name, *lost]
    assert failing(FIGURE, {"relu": panel(FIGURE.settings["relu"], 0.2)}) == ["relu"]


def test_any_baseline_may_be_the_best(panel: Callable, failing: Callable) -> None:
    two, relu = FIGURE.settings["2-layers"], FIGURE.settings["relu"]
    assert failing(FIGURE, {"2-layers": panel(two, sgd=0.19)}) == ["2-layers", "learned"]
    one = panel(relu, 0.4, sgd=0.2, nag=0.5, rmsprop=0.5, adam=0.5)
    assert failing(FIGURE, {"relu": one}) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_divergence_does_not_even_support_that_an_optimizer_fails(
    loss: float, panel: Callable, failing: Callable
) -> None:
    assert failing(FIGURE, {"relu": panel(FIGURE.settings["relu"], loss)}) == ["relu"]


def test_the_plot_shows_the_second_half_beyond_the_horizon(panel: Callable) -> None:
    figure = FIGURE.plot({name: panel(setting) for name, setting in FIGURE.settings.items()})
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 100), (100, 200), (0, 100), (0, 100)]
    assert {axes.get_ylabel() for axes in figure.axes} == {"Loss (nats)"}
    assert len({axes.get_title(loc="left") for axes in figure.axes}) == 4
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "LSTM, as it begins", "SGD", "NAG", "RMSprop", "Adam"]


def test_each_panel_is_a_problem_with_a_name() -> None:
    assert {parse(setting.problem)[0] for setting in FIGURE.settings.values()} <= set(problems())


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_panel_runs_what_the_paper_ran(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: str, panel: Callable
) -> None:
    calls, loaded, said = [], [], []

    def compare(learned, problem, problem_name, *, progress, **options) -> Comparison:
        calls.append((list(learned), problem_name, options))
        progress("running")
        names = [*learned, *options["baselines"]]
        return panel(dict.fromkeys(names, 0.3), steps=options["num_steps"])

    def load(name: str) -> LearnedOptimizer:
        loaded.append(name)
        return tiny(name)

    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    monkeypatch.setattr(panels, "compare", compare)
    found = reproduce(
        FIGURE, budget=budget, load=load, begin=tiny, seed=3, cache=tmp_path, progress=said.append
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
            ["mnist-lstm", as_begun("mnist-lstm")],
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
    assert len(found.claims) == 5


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    said: list[str] = []
    found = reproduce(FIGURE, budget="smoke", load=tiny, begin=tiny, progress=said.append)
    assert len(said) == FIGURE.units
    assert [panel.steps for panel in found.panels.values()] == [4, 8, 4, 4]
    json.dumps(found.to_json())
    assert len(found.plot().axes) == 4
