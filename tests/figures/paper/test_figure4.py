"""Figure 4: claims hold where the numbers bear them out, fail where not, and all of it runs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.descent import baselines
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, experiments, figure4, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.claims import Claim
from metadescent.figures.paper.experiment import Reproduction, reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

FIGURE = experiment_of("figure4")
BASELINES = {"sgd": 0.45, "nag": 0.33, "rmsprop": 0.36, "adam": 0.34}


def curve(level: float, rate: float | None, steps: int, width: float) -> Curve:
    mean = np.full(steps, level)
    return Curve(mean, mean - width, mean + width, rate)


def comparison(
    lstm: float = 0.25, steps: int = 100, width: float = 0.01, **baselines: float
) -> Comparison:
    curves = {"lstm": curve(lstm, None, steps, width)}
    for name, level in {**BASELINES, **baselines}.items():
        curves[name] = curve(level, 0.1, steps, width)
    return Comparison("problem", steps, 8, curves, {}, 0.5)


def measured(**replaced: Comparison) -> dict[str, Comparison]:
    found = {name: comparison() for name in ("left", "left-uniform", "center")}
    found["right"] = comparison(steps=200)
    return found | {name.replace("_", "-"): panel for name, panel in replaced.items()}


def failing(**replaced: Comparison) -> list[int]:
    return [i for i, claim in enumerate(FIGURE.judge(measured(**replaced))) if not claim.holds]


GAUSSIAN, UNIFORM, EQUIVALENT, FINAL, SUM, STANDARD, CONTINUES = range(7)


def test_with_the_papers_own_levels_every_claim_holds() -> None:
    claims = FIGURE.judge(measured())
    assert [claim.section for claim in claims] == ["3.1"] * 2 + ["3.2"] * 3 + ["figure 4", "3.2"]
    assert all(claim.holds for claim in claims)
    assert (claims[FINAL].measured, claims[FINAL].reference) == pytest.approx((0.25, 0.33))
    assert (claims[SUM].measured, claims[SUM].reference) == pytest.approx((25.0, 33.0))
    assert (claims[EQUIVALENT].measured, claims[EQUIVALENT].reference) == pytest.approx(
        (0.36 / 0.33, 1.25)
    )
    assert (claims[CONTINUES].measured, claims[CONTINUES].reference) == pytest.approx(
        (0.25 / 0.33, 1.0)
    )


def test_a_claim_says_what_was_compared() -> None:
    texts = [claim.text for claim in FIGURE.judge(measured())]
    assert texts[GAUSSIAN] == (
        '"the learned optimizers substantially outperform the baselines" (Gaussian W and y): loss '
        "after step 100, the LSTM's against the best baseline's; holds if it is at most 0.8 times "
        "as much and the 95 % intervals are apart"
    )
    assert "mean loss over steps 91–100" in texts[FINAL]
    assert "sum of losses over steps 1–100" in texts[SUM]
    assert "over steps 101–200" in texts[CONTINUES]
    assert len(set(texts)) == len(texts)


def test_a_small_lead_is_no_margin() -> None:
    lead = comparison(lstm=0.3)
    assert failing(left=lead) == [GAUSSIAN]
    assert failing(left_uniform=lead) == [UNIFORM]
    assert failing(center=lead) == [FINAL, SUM]
    assert failing(right=comparison(lstm=0.3, steps=200)) == []


def test_overlapping_intervals_are_no_margin() -> None:
    wide = comparison(width=0.05)
    assert failing(left=wide) == [GAUSSIAN]
    assert failing(center=wide) == [FINAL, SUM, STANDARD]


def test_behind_on_every_count() -> None:
    assert failing(
        left=comparison(0.5),
        left_uniform=comparison(0.5),
        center=comparison(0.5, adam=0.5),
        right=comparison(0.5, steps=200),
    ) == list(range(7))


def test_sgd_is_a_baseline_but_not_one_of_the_equivalent_three() -> None:
    assert failing(center=comparison(sgd=9.0)) == []
    assert failing(center=comparison(sgd=0.2)) == [FINAL, SUM, STANDARD]


def test_one_bad_step_beyond_the_horizon_is_enough() -> None:
    right = comparison(steps=200)
    right.curves["lstm"].mean[150] = 0.34
    assert failing(right=right) == [CONTINUES]
    right = comparison(steps=200)
    right.curves["lstm"].mean[99] = 0.34
    assert failing(right=right) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_divergence_supports_no_claim_of_the_one_that_diverged(loss: float) -> None:
    diverged = comparison(loss, steps=100)
    assert failing(left=diverged) == [GAUSSIAN]
    assert failing(center=diverged) == [FINAL, SUM, STANDARD]
    assert failing(right=comparison(loss, steps=200)) == [CONTINUES]
    assert failing(center=comparison(adam=loss)) == [EQUIVALENT]
    assert failing(right=comparison(adam=loss, steps=200)) == []


def test_a_single_seed_has_no_interval() -> None:
    assert failing(left=comparison(width=math.nan)) == [GAUSSIAN]


def test_json() -> None:
    found = measured()
    claims = [Claim("text", "3.1", 1.0, 2.0, True)]
    written = Reproduction("figure4", found, claims, lambda: FIGURE.plot(found)).to_json()
    assert json.loads(json.dumps(written)) == {
        "figure": "figure4",
        "panels": {name: panel.to_json() for name, panel in found.items()},
        "claims": [
            {"text": "text", "section": "3.1", "measured": 1.0, "reference": 2.0, "holds": True}
        ],
    }
    json.dumps([claim._asdict() for claim in FIGURE.judge(found)])


def test_the_plot_shows_the_second_half_to_the_right() -> None:
    figure = FIGURE.plot(measured())
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 100)] * 3 + [(100, 200)]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss"] * 2 + ["Loss (nats)"] * 2
    assert all(axes.get_title(loc="left") for axes in figure.axes)


def test_the_legend_says_lstm() -> None:
    def renamed(name: str, found: Comparison) -> Comparison:
        curves = {FIGURE.settings[name].optimizer: found.curves["lstm"]} | {
            n: c for n, c in found.curves.items() if n != "lstm"
        }
        return found._replace(curves=curves)

    figure = FIGURE.plot({name: renamed(name, found) for name, found in measured().items()})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "SGD", "NAG", "RMSprop", "Adam"]


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.fixture
def small_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))


@pytest.mark.usefixtures("small_problems")
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

    monkeypatch.setattr(panels, "compare", compare)
    found = reproduce(
        FIGURE, budget=budget, load=load, seed=3, cache=tmp_path, progress=said.append
    )
    assert list(found.panels) == ["left", "left-uniform", "center", "right"]
    assert loaded == ["quadratic-lstm", "quadratic-uniform-lstm", "mnist-lstm"]
    effort = BUDGETS[budget]
    horizon = BUDGETS[budget].steps(100)
    for call, optimizer, problem, steps, seeds in zip(
        calls,
        ["quadratic-lstm", "quadratic-uniform-lstm", "mnist-lstm", "mnist-lstm"],
        ["quadratic", "quadratic-uniform", "mnist", "mnist"],
        [horizon, horizon, horizon, 2 * horizon],
        [effort.functions] * 2 + [effort.networks] * 2,
        strict=True,
    ):
        assert call == (
            [optimizer],
            problem,
            {
                "baselines": ("sgd", "nag", "rmsprop", "adam"),
                "num_steps": steps,
                "num_seeds": seeds.report,
                "tune_seeds": seeds.tune,
                "seed": 3,
                "cache": tmp_path,
            }
            | ({} if seeds.tune else {"searched": untuned(baselines.STANDARD)}),
        )
    assert said == [f"{name}: running" for name in found.panels]
    assert len(found.claims) == 7


@pytest.mark.slow
@pytest.mark.usefixtures("small_problems")
def test_smoke() -> None:
    said: list[str] = []
    found = reproduce(FIGURE, budget="smoke", load=tiny, progress=said.append)
    assert len(said) == FIGURE.units
    assert {name: panel.steps for name, panel in found.panels.items()} == {
        "left": 4,
        "left-uniform": 4,
        "center": 4,
        "right": 8,
    }
    for panel in found.panels.values():
        assert all(np.isfinite(c.mean).all() for c in panel.curves.values())
    json.dumps(found.to_json())
    assert len(found.plot().axes) == 4


def test_discovery() -> None:
    assert [experiments()["figure4"]] == figure4.EXPERIMENTS


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        experiment_of("figur4")
    assert str(caught.value) == "there is no experiment named 'figur4'; did you mean 'figure4'?"
    with pytest.raises(UserError) as caught:
        reproduce(FIGURE, budget="papr", load=tiny)
    assert str(caught.value) == "there is no budget named 'papr'; did you mean 'paper'?"


def test_no_experiment_imports_matplotlib_before_it_draws() -> None:
    code = (
        "import sys, metadescent.figures.paper as e; e.experiments();"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
