"""Figure 6: points are tuned one by one, and a claim is as good as its worst point."""

import json
import weakref
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent._spec import parse
from metadescent.descent.baselines import STANDARD
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.figures.paper.networks import HIDDEN
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

FIGURE = experiment_of("figure6")


def measured(panel: Callable, **changed: Comparison) -> dict[str, Comparison]:
    panels = {name: panel(setting) for name, setting in FIGURE.settings.items()}
    return panels | {name.strip("_").replace("_", "-"): made for name, made in changed.items()}


def test_the_points() -> None:
    networks = [parse(setting.problem) for setting in FIGURE.settings.values()]
    assert {name for name, _ in networks} == {"mnist"}
    assert [options["hidden"] for _, options in networks] == [
        (units,) * layers for layers in (1, 2, 3) for units in (5, 10, 20, 40, 80, 160)
    ]
    names = list(FIGURE.settings)
    assert (names[2], names[-1]) == ("1-layer-20-units", "3-layers-160-units")
    assert FIGURE.units == 18 * 10


def test_a_claim_quotes_the_paper_and_says_what_was_compared(claims: Callable) -> None:
    texts = {id: claim.text for id, claim in claims(FIGURE).items()}
    quotation = (
        '"in this setting where the test-set problems are similar enough to those in the training '
        'set we see even better generalization than the baseline optimizers"'
    )
    assert list(texts) == ["similar", "1-layer", "2-layers", "3-layers", "learned"]
    assert texts["similar"].startswith(
        f"{quotation} (1 hidden layer of 10, 20 and 40 units): mean loss over steps 91–100, the "
        "LSTM's beside each baseline's, in each of 3 panels"
    )
    assert texts["3-layers"].startswith(
        f"{quotation} (3 hidden layers of 5, 10, 20, 40, 80 and 160 units): "
    )


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("1-layer-40-units", ["similar", "1-layer"]),
        ("1-layer-5-units", ["1-layer"]),
        ("2-layers-160-units", ["2-layers"]),
        ("3-layers-10-units", ["3-layers"]),
    ],
)
def test_a_claim_fails_with_any_of_its_points(
    name: str, fails: list[str], panel: Callable, claims: Callable
) -> None:
    judged = claims(FIGURE, {name: panel(FIGURE.settings[name], 0.4)})
    assert [id for id, claim in judged.items() if not claim.holds] == fails
    assert judged[fails[0]].ratio == pytest.approx(0.4 / 0.33)
    assert judged[fails[0]].against == f"nag, {name}"


def test_the_plot_is_of_final_losses(panel: Callable) -> None:
    name = "2-layers-5-units"
    changed = {"_2_layers_5_units": panel(FIGURE.settings[name], 1.5)}
    figure = FIGURE.plot(measured(panel, **changed))
    one, two, three = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "1 hidden layer",
        "2 hidden layers",
        "3 hidden layers",
    ]
    assert {axes.get_xlabel() for axes in figure.axes} == {"Hidden units per layer"}
    assert one.get_ylabel() == "Final loss (nats)"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "LSTM, as it begins", "SGD", "NAG", "RMSprop", "Adam"]
    # As in the paper: where the optimizer was meta-trained, and its loss there.
    vertical, horizontal, lstm, *_ = one.lines
    assert list(vertical.get_xdata()) == [20, 20]
    np.testing.assert_allclose(horizontal.get_ydata(), 0.2, rtol=1e-5)
    np.testing.assert_allclose(lstm.get_ydata(), 0.2, rtol=1e-5)
    horizontal, lstm, begun, sgd, *_ = two.lines
    np.testing.assert_allclose(horizontal.get_ydata(), 0.2, rtol=1e-5)
    np.testing.assert_array_equal(lstm.get_xdata(), HIDDEN)
    np.testing.assert_allclose(lstm.get_ydata(), [1.5] + [0.2] * 5, rtol=1e-5)
    np.testing.assert_allclose(begun.get_ydata(), 2.0, rtol=1e-5)
    np.testing.assert_allclose(sgd.get_ydata(), 0.45, rtol=1e-5)
    assert len(three.lines) == 7


def test_a_level_is_that_of_the_last_tenth(panel: Callable) -> None:
    changed = panel(FIGURE.settings["1-layer-20-units"])
    changed.losses["mnist-lstm"][:, :90] *= 10
    lines = FIGURE.plot(measured(panel, _1_layer_20_units=changed)).axes[0].lines
    np.testing.assert_allclose(lines[1].get_ydata(), 0.2, rtol=1e-5)


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_point_is_tuned_anew(
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
        (["mnist-lstm", as_begun("mnist-lstm")], setting.problem, options)
        for setting in FIGURE.settings.values()
    ]
    assert said == [f"{name}: running" for name in found.panels]
    json.dumps(found.to_json())


def test_data_and_programs_of_one_point_are_let_go_before_the_next(
    monkeypatch: pytest.MonkeyPatch, cleared: list[None], panel: Callable
) -> None:
    alive: list[weakref.ref] = []

    def make_problem(spec: str, data_dir: object) -> Quadratic:
        assert not [made for made in alive if made() is not None]
        assert len(cleared) == len(alive)
        problem = Quadratic(dimension=3)
        alive.append(weakref.ref(problem))
        return problem

    monkeypatch.setattr(panels, "make_problem", make_problem)
    names = ["mnist-lstm", as_begun("mnist-lstm"), *STANDARD]
    made = panel(dict.fromkeys(names, 0.3))
    monkeypatch.setattr(panels, "compare", lambda *_, **__: made)
    reproduce(FIGURE, budget="smoke", load=tiny, begin=tiny)
    assert len(alive) == 18


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    said: list[str] = []
    found = reproduce(FIGURE, budget="smoke", load=tiny, begin=tiny, progress=said.append)
    assert len(said) == FIGURE.units
    assert {panel.steps for panel in found.panels.values()} == {4}
    json.dumps(found.to_json())
    assert len(found.plot().axes) == 3
