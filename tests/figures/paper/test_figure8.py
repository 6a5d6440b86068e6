"""Figure 8 and what carries further: claims hold where the numbers bear them out, and all runs."""

import json
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from metadescent._spec import parse
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.figures.paper import experiment_of, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.convex import Convex
from metadescent.registry import problems

STEPS = 128
BASELINES = {"sgd": 0.5, "nag": 0.45, "rmsprop": 0.42, "adam": 0.4, "lbfgs": 0.41}
FIGURES = ("figure8", "figure8-vgg19", "figure8-transfer")
FIGURE8, _, FURTHER = map(experiment_of, FIGURES)


def curve(level: float, rate: float | None, width: float = 0.01) -> Curve:
    """Return one that falls for ten steps and then stays."""
    mean = level * np.maximum(1.0, 3.0 - 0.2 * np.arange(STEPS))
    return Curve(mean, mean - width, mean + width, rate)


def comparison(lstm: float = 0.3, width: float = 0.01, **baselines: float) -> Comparison:
    curves = {"neural-art-lstm": curve(lstm, None, width)}
    for name, level in (BASELINES | baselines).items():
        curves[name] = curve(level, 0.1, width)
    margins = {}
    for name in BASELINES:
        mean = curves[name].mean - curves["neural-art-lstm"].mean
        margins[name] = Curve(mean, mean - width, mean + width)
    return Comparison("problem", STEPS, 8, curves, {}, 0.5, margins=margins)


def bent(comparison: Comparison, at: slice, level: float) -> Comparison:
    """Return a comparison in which the LSTM has another loss at some steps."""
    name = "neural-art-lstm"
    mean = comparison.curves[name].mean.copy()
    mean[at] = level
    changed = Curve(mean, mean - 0.01, mean + 0.01)
    return comparison._replace(curves=comparison.curves | {name: changed})


def holds(left: Comparison | None = None, right: Comparison | None = None) -> list[bool]:
    found = {"left": left or comparison(), "right": right or comparison()}
    return [claim.holds for claim in FIGURE8.judge(found)]


def test_what_the_paper_says_holds_where_it_is_so() -> None:
    claims = FIGURE8.judge({"left": comparison(), "right": comparison(0.39)})
    assert [claim.holds for claim in claims] == [True] * 3
    assert {claim.section for claim in claims} == {"3.4"}
    measured = [(claim.measured, claim.reference) for claim in claims]
    assert measured == [(0.3, 0.4), (pytest.approx(0.75), 1.0), (0.39, 0.4)]
    assert "loss after step 128" in claims[0].text
    assert "over steps 20–128" in claims[1].text


@pytest.mark.parametrize(
    ("lstm", "width", "expected"),
    [(0.379, 0.001, True), (0.381, 0.001, False), (0.36, 0.03, True), (0.36, 0.05, False)],
)
def test_left_it_takes_a_margin_and_differences_that_are_sure(
    lstm: float, width: float, expected: bool
) -> None:
    assert holds(left=comparison(lstm, width)) == [expected, True, True]


def test_right_it_takes_no_more_than_the_best() -> None:
    assert holds(right=comparison(0.4)) == [True, True, True]
    assert holds(right=comparison(0.401)) == [True, True, False]


def test_from_step_20_on_it_is_below_every_baseline_at_every_step() -> None:
    assert holds(left=bent(comparison(), slice(18, 19), 9.0)) == [True, True, True]
    assert holds(left=bent(comparison(), slice(19, 20), 0.4)) == [True, False, True]
    crossed = bent(comparison(), slice(60, 61), 0.41)
    claim = FIGURE8.judge({"left": crossed, "right": comparison()})[1]
    assert not claim.holds
    assert claim.measured == pytest.approx(0.41 / 0.4)
    # Below the one that ends best is not enough where another is lower on the way.
    early = comparison(sgd=0.29)
    assert holds(left=early)[:2] == [False, False]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_divergence_supports_no_claim(loss: float) -> None:
    assert holds(comparison(loss), comparison(loss)) == [False] * 3
    everyone = comparison(**dict.fromkeys(BASELINES, loss))
    assert holds(everyone, everyone) == [False] * 3
    # A baseline that diverges is no rival; the others are.
    assert holds(left=comparison(sgd=loss)) == [True] * 3


def test_further_it_takes_a_tenth_more_at_most_and_no_rise() -> None:
    names = FURTHER.settings

    def failing(**replaced: Comparison) -> list[str]:
        found = {name: comparison(0.43) for name in names} | replaced
        claims = FURTHER.judge(found)
        assert len({claim.text for claim in claims}) == len(claims) == 2 * len(names)
        assert {claim.section for claim in claims} == {"ours"}
        return [claim.text for claim in claims if not claim.holds]

    assert failing() == []
    (failed,) = failing(**{"512": comparison(0.441)})
    assert failed.startswith("The Great Wave, 512 × 512: loss after step 128")
    (failed,) = failing(**{"the-scream": bent(comparison(0.43), slice(60, 61), 0.38)})
    assert failed.startswith("The Scream, 64 × 64, no divergence: ")
    assert len(failing(**{"256": bent(comparison(0.43), slice(60, 61), math.nan)})) == 1
    assert len(failing(**{"256": comparison(math.nan)})) == 2


@pytest.mark.parametrize("figure", FIGURES)
def test_each_panel_tests_and_tunes_on_splits_of_their_own(figure: str) -> None:
    found = experiment_of(figure)
    assert figure == found.figure
    assert found.kept.name == f"{figure}.json"
    for one in found.settings.values():
        (name, tested), (_, tuned) = parse(one.problem), parse(one.tuned_on)
        assert name in problems()
        assert tested | {"split": "validation"} == tuned
        assert tested["split"] == "test"
        assert tested["each"]
        assert one.baselines == ("sgd", "nag", "rmsprop", "adam", "lbfgs")
        assert one.num_steps == STEPS


def test_the_left_panel_is_a_hundred_test_photographs() -> None:
    left = experiment_of("figure8").settings["left"]
    assert left.problem == "neural-art(split='test', each=True)"
    assert getattr(BUDGETS["cpu"], left.seeds).report == 100
    assert experiment_of("figure8").optimizers == ("neural-art-lstm",)
    assert experiment_of("figure8-vgg19").optimizers == ("neural-art-lstm-vgg19",)
    for one in experiment_of("figure8-vgg19").settings.values():
        assert parse(one.problem)[1]["net"] == "vgg19"


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ("figure8", {(64, "starry_night"): (100, 20), (128, "great_wave"): (16, 8)}),
        ("figure8-vgg19", {(64, "starry_night"): (16, 8), (128, "great_wave"): (4, 2)}),
        (
            "figure8-transfer",
            {
                (256, "great_wave"): (4, 2),
                (512, "great_wave"): (2, 1),
                (64, "composition_vii"): (16, 8),
                (64, "the_scream"): (16, 8),
                (64, "shipwreck_minotaur"): (16, 8),
            },
        ),
    ],
)
def test_each_panel_runs_what_it_says(
    figure: str, expected: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {}

    def compare(learned: Any, problem: Any, problem_name: str, **options: Any) -> Comparison:
        _, given = parse(problem_name)
        assert options["tuned_on"] is made[problem_name.replace("'test'", "'validation'")]
        assert options["num_steps"] == STEPS
        assert list(learned) == list(experiment_of(figure).optimizers)
        at = given.get("size", 64), given.get("style", "starry_night")
        calls[at] = options["num_seeds"], options["tune_seeds"]
        return comparison()

    made = {}
    monkeypatch.setattr(
        panels, "make_problem", lambda spec, data_dir: made.setdefault(spec, Convex(dimension=3))
    )
    monkeypatch.setattr(panels, "kept_searches", lambda *_, **__: {})
    monkeypatch.setattr(panels, "compare", compare)
    found = reproduce(experiment_of(figure), budget="cpu", load=tiny)
    assert calls == expected
    assert found.figure == figure


def test_the_plot_has_a_panel_for_each_setting() -> None:
    found = experiment_of("figure8-transfer")
    figure = found.plot({name: comparison() for name in found.settings})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [one.title for one in found.settings.values()]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(shown) == ["Adam", "L-BFGS", "LSTM", "NAG", "RMSprop", "SGD"]


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES[:2])
def test_smoke(figure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Convex(dimension=3))
    experiment = experiment_of(figure)
    monkeypatch.setattr(experiment, "kept", tmp_path / "none.json")
    said: list[str] = []
    found = reproduce(experiment, budget="smoke", load=tiny, progress=said.append)
    assert len(said) == experiment.units
    assert {panel.steps for panel in found.panels.values()} == {6}
    json.dumps(found.to_json())
    assert len(found.plot().axes) == 2
