"""Figure 6: points are tuned one by one, and a claim is as good as its worst point."""

import json
import math
import weakref
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent._spec import parse
from metadescent.descent.baselines import STANDARD
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, figure6, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

FIGURE = experiment_of("figure6")
BASELINES = {"sgd": 0.45, "nag": 0.33, "rmsprop": 0.36, "adam": 0.34}
SIMILAR, ONE, TWO, THREE = range(4)


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
    found = dict.fromkeys(FIGURE.settings, comparison())
    changed = {name.strip("_").replace("_", "-"): panel for name, panel in replaced.items()}
    assert set(changed) <= set(found)
    return found | changed


def failing(**replaced: Comparison) -> list[int]:
    return [i for i, claim in enumerate(FIGURE.judge(measured(**replaced))) if not claim.holds]


def test_the_points() -> None:
    networks = [parse(setting.problem) for setting in FIGURE.settings.values()]
    assert {name for name, _ in networks} == {"mnist"}
    assert [options["hidden"] for _, options in networks] == [
        (units,) * layers for layers in (1, 2, 3) for units in (5, 10, 20, 40, 80, 160)
    ]
    names = list(FIGURE.settings)
    assert (names[2], names[-1]) == ("1-layer-20-units", "3-layers-160-units")
    assert FIGURE.units == 18 * 9


def test_ahead_everywhere_every_claim_holds() -> None:
    claims = FIGURE.judge(measured())
    assert len(claims) == 4
    for claim in claims:
        assert claim.holds
        assert (claim.measured, claim.reference) == pytest.approx((0.25 / 0.33, 1.0))


def test_a_claim_quotes_the_paper_and_says_what_was_compared() -> None:
    texts = [claim.text for claim in FIGURE.judge(measured())]
    quotation = (
        '"in this setting where the test-set problems are similar enough to those in the training '
        'set we see even better generalization than the baseline optimizers"'
    )
    assert texts[SIMILAR].startswith(
        f"{quotation} (1 hidden layer): the largest ratio, over 10, 20 and 40 units, of the "
        "LSTM's mean loss over steps 91–100 to that of the best baseline there"
    )
    assert texts[THREE].startswith(
        f"{quotation} (3 hidden layers): the largest ratio, over 5, 10, 20, 40, 80 and 160 units"
    )
    assert len(set(texts)) == len(texts)


def test_a_claim_fails_with_any_of_its_points() -> None:
    behind = comparison(lstm=0.5)
    assert failing(_1_layer_40_units=behind) == [SIMILAR, ONE]
    assert failing(_1_layer_5_units=behind) == [ONE]
    assert failing(_2_layers_160_units=behind) == [TWO]
    assert failing(_3_layers_10_units=behind) == [THREE]
    claim = FIGURE.judge(measured(_3_layers_10_units=behind))[THREE]
    assert claim.measured == pytest.approx(0.5 / 0.33)


def test_overlapping_intervals_are_not_ahead() -> None:
    assert failing(_2_layers_5_units=comparison(lstm=0.325)) == [TWO]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_divergence_supports_no_claim(loss: float) -> None:
    assert failing(_2_layers_5_units=comparison(loss)) == [TWO]
    assert failing(_2_layers_5_units=comparison(**dict.fromkeys(BASELINES, loss))) == [TWO]
    assert failing(_2_layers_5_units=comparison(adam=loss)) == []


def test_the_plot_is_of_final_losses() -> None:
    figure = FIGURE.plot(measured(_2_layers_5_units=comparison(lstm=1.5)))
    one, two, three = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "1 hidden layer",
        "2 hidden layers",
        "3 hidden layers",
    ]
    assert {axes.get_xlabel() for axes in figure.axes} == {"Hidden units per layer"}
    assert one.get_ylabel() == "Final loss (nats)"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "SGD", "NAG", "RMSprop", "Adam"]
    # As in the paper: where the optimizer was meta-trained, and its loss there.
    vertical, horizontal, lstm, *_ = one.lines
    assert list(vertical.get_xdata()) == [20, 20]
    np.testing.assert_allclose(horizontal.get_ydata(), 0.25)
    np.testing.assert_allclose(lstm.get_ydata(), 0.25)
    horizontal, lstm, sgd, *_ = two.lines
    np.testing.assert_allclose(horizontal.get_ydata(), 0.25)
    np.testing.assert_array_equal(lstm.get_xdata(), figure6.HIDDEN)
    np.testing.assert_allclose(lstm.get_ydata(), [1.5] + [0.25] * 5)
    np.testing.assert_allclose(sgd.get_ydata(), 0.45)
    assert len(three.lines) == 6


def test_a_level_is_that_of_the_last_tenth() -> None:
    found = comparison()
    found.curves["mnist-lstm"].mean[:90] = 2.0
    lines = FIGURE.plot(measured(_1_layer_20_units=found)).axes[0].lines
    np.testing.assert_allclose(lines[1].get_ydata(), 0.25)


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_point_is_tuned_anew(
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
    assert list(found.panels) == list(FIGURE.settings)
    assert loaded == ["mnist-lstm"]
    seeds = BUDGETS[budget].sweeps
    options = {
        "baselines": ("sgd", "nag", "rmsprop", "adam"),
        "num_steps": BUDGETS[budget].steps(100),
        "num_seeds": seeds.report,
        "tune_seeds": seeds.tune,
        "seed": 3,
        "cache": tmp_path,
    } | ({} if seeds.tune else {"searched": untuned(STANDARD)})
    assert calls == [
        (["mnist-lstm"], setting.problem, options) for setting in FIGURE.settings.values()
    ]
    assert said == [f"{name}: running" for name in found.panels]
    json.dumps(found.to_json())


def test_data_and_programs_of_one_point_are_let_go_before_the_next(
    monkeypatch: pytest.MonkeyPatch, cleared: list[None]
) -> None:
    alive: list[weakref.ref] = []

    def make_problem(spec: str, data_dir: object) -> Quadratic:
        assert not [made for made in alive if made() is not None]
        assert len(cleared) == len(alive)
        problem = Quadratic(dimension=3)
        alive.append(weakref.ref(problem))
        return problem

    monkeypatch.setattr(panels, "make_problem", make_problem)
    monkeypatch.setattr(panels, "compare", lambda *_, **__: comparison())
    reproduce(FIGURE, budget="smoke", load=tiny)
    assert len(alive) == 18


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    said: list[str] = []
    found = reproduce(FIGURE, budget="smoke", load=tiny, progress=said.append)
    assert len(said) == FIGURE.units
    assert {panel.steps for panel in found.panels.values()} == {4}
    json.dumps(found.to_json())
    assert len(found.plot().axes) == 3
