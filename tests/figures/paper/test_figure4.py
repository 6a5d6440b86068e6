"""Figure 4: claims hold where the numbers bear them out, fail where not, and all of it runs."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.descent import baselines
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, experiments, figure4, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.experiment import Reproduction, reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

FIGURE = experiment_of("figure4")


def measured(panel: Callable) -> dict[str, Comparison]:
    return {name: panel(setting) for name, setting in FIGURE.settings.items()}


def test_with_the_papers_own_levels_every_claim_holds(claims: Callable) -> None:
    judged = claims(FIGURE)
    assert [claim.section for claim in judged.values()] == [
        *("3.1", "3.1", "3.2", "ours", "ours", "3.2", "3.2", "figure 4", "3.2", "ours")
    ]
    assert all(claim.holds for claim in judged.values())
    for name, numbers in {
        "final": (0.2, 0.33, "nag"),
        "sum": (20.0, 33.0, "nag"),
        "equivalent": (0.36, 0.33, "rmsprop beside nag"),
        "equivalent-decay": (0.35, 0.33, "rmsprop-0.9 beside nag"),
        "continues": (0.2, 0.33, "nag"),
    }.items():
        claim = judged[name]
        assert (claim.measured, claim.reference, claim.against) == (
            pytest.approx(numbers[0]),
            pytest.approx(numbers[1]),
            numbers[2],
        )


def test_a_claim_says_what_was_compared(claims: Callable) -> None:
    texts = {id: claim.text for id, claim in claims(FIGURE).items()}
    assert texts["gaussian"] == (
        '"the learned optimizers substantially outperform the baselines" (Gaussian W and y): loss '
        "after step 100, the LSTM's beside each baseline's; holds if the 95 % interval of the "
        "ratio to each is below 0.8"
    )
    assert "mean loss over steps 91–100, of nag, adam and rmsprop;" in texts["equivalent"]
    assert "mean loss over steps 91–100" in texts["final"]
    assert "sum of losses over steps 1–100" in texts["sum"]
    assert "each of the steps 101–200" in texts["continues"]


def test_a_small_lead_is_not_a_margin(panel: Callable, failing: Callable) -> None:
    lead = {name: panel(FIGURE.settings[name], 0.3) for name in FIGURE.settings}
    assert failing(FIGURE, {"left": lead["left"]}) == ["gaussian"]
    assert failing(FIGURE, {"left-uniform": lead["left-uniform"]}) == ["uniform"]
    assert failing(FIGURE, {"center": lead["center"]}) == ["final", "sum"]
    assert failing(FIGURE, {"right": lead["right"]}) == []


def test_sgd_is_a_baseline_but_not_one_of_the_equivalent_three(
    panel: Callable, failing: Callable
) -> None:
    assert failing(FIGURE, {"center": panel(FIGURE.settings["center"], sgd=9.0)}) == []
    ahead = panel(FIGURE.settings["center"], sgd=0.15)
    assert failing(FIGURE, {"center": ahead}) == ["final", "sum", "standard", "learned"]


def test_the_controls_of_rmsprop_fail_by_themselves(panel: Callable, failing: Callable) -> None:
    for name, loss in (("decay", {"rmsprop-0.9": 0.5}), ("start", {"rmsprop": 0.5})):
        changed = panel(FIGURE.settings[name], **loss)
        assert failing(FIGURE, {name: changed}) == [f"equivalent-{name}"]
    assert failing(FIGURE, {"center": panel(FIGURE.settings["center"], adam=math.nan)}) == [
        "equivalent"
    ]


def test_one_bad_step_beyond_the_horizon_is_enough(panel: Callable, failing: Callable) -> None:
    for step, fails in ((150, ["continues"]), (99, [])):
        right = panel(FIGURE.settings["right"])
        right.losses["mnist-lstm"][:, step] *= 2
        assert failing(FIGURE, {"right": right}) == fails


def test_json(panel: Callable) -> None:
    found = measured(panel)
    records = FIGURE.records(found)
    claims = judge_claims(FIGURE.criteria, records)
    written = Reproduction("figure4", found, records, claims, lambda: FIGURE.plot(found)).to_json()
    assert list(written) == ["figure", "made", "panels", "claims", "rates", "runs"]
    again = json.loads(json.dumps(written, allow_nan=False))
    assert again["claims"] == [claim.to_json() for claim in claims]
    assert again["runs"] == {name: record.to_json() for name, record in records.items()}
    curves = again["panels"]["left"]["curves"]
    assert list(curves) == list(found["left"].curves)
    assert curves["adam"]["final"] == pytest.approx(0.34)


def test_the_plot_shows_the_second_half_to_the_right(panel: Callable) -> None:
    figure = FIGURE.plot(measured(panel))
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 100)] * 3 + [(100, 200)]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss"] * 2 + ["Loss (nats)"] * 2
    assert all(axes.get_title(loc="left") for axes in figure.axes)


def test_the_legend_says_lstm_and_what_it_was(panel: Callable) -> None:
    figure = FIGURE.plot(measured(panel))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["LSTM", "LSTM, as it begins", "SGD", "NAG", "RMSprop", "Adam"]
    lstm, begun, *others = figure.axes[0].lines
    assert lstm.get_color() == begun.get_color()
    assert begun.get_alpha() < 1
    assert begun.get_linewidth() < min(line.get_linewidth() for line in (lstm, *others))


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.fixture
def small_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))


@pytest.mark.usefixtures("small_problems")
@pytest.mark.parametrize("budget", BUDGETS)
def test_each_panel_runs_what_the_paper_ran(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: str, panel: Callable
) -> None:
    calls, loaded, begun, said = [], [], [], []

    def compare(learned, problem, problem_name, *, progress, **options) -> Comparison:
        calls.append((list(learned), problem_name, options))
        progress("running")
        names = [*learned, *options["baselines"]]
        return panel(dict.fromkeys(names, 0.3), steps=options["num_steps"])

    def load(name: str) -> LearnedOptimizer:
        loaded.append(name)
        return tiny(name)

    def begin(name: str) -> LearnedOptimizer:
        begun.append(name)
        return tiny(name)

    monkeypatch.setattr(panels, "compare", compare)
    found = reproduce(
        FIGURE, budget=budget, load=load, begin=begin, seed=3, cache=tmp_path, progress=said.append
    )
    assert list(found.panels) == ["left", "left-uniform", "center", "right", "decay", "start"]
    assert loaded == begun == ["quadratic-lstm", "quadratic-uniform-lstm", "mnist-lstm"]
    effort = BUDGETS[budget]
    horizon = BUDGETS[budget].steps(100)
    functions, networks, three = effort.functions, effort.networks, ("nag", "adam", "rmsprop")
    for call, optimizer, problem, steps, seeds, rivals in zip(
        calls,
        ["quadratic-lstm", "quadratic-uniform-lstm", "mnist-lstm", "mnist-lstm", "", ""],
        ["quadratic", "quadratic-uniform", *["mnist"] * 3, "mnist(theta_std=0.1)"],
        [horizon, horizon, horizon, 2 * horizon, horizon, horizon],
        [functions] * 2 + [networks] * 4,
        [baselines.STANDARD] * 4 + [("nag", "adam", "rmsprop-0.9"), three],
        strict=True,
    ):
        assert call == (
            [optimizer, as_begun(optimizer)] if optimizer else [],
            problem,
            {
                "baselines": rivals,
                "num_steps": steps,
                "num_seeds": seeds.report,
                "tune_seeds": seeds.tune,
                "seed": 3,
                "cache": tmp_path,
            }
            | ({} if seeds.tune else {"searched": untuned(rivals)}),
        )
    assert said == [f"{name}: running" for name in found.panels]
    assert len(found.claims) == 10


@pytest.mark.slow
@pytest.mark.usefixtures("small_problems")
def test_smoke() -> None:
    said: list[str] = []
    found = reproduce(FIGURE, budget="smoke", load=tiny, begin=tiny, progress=said.append)
    assert len(said) == FIGURE.units
    assert {name: panel.steps for name, panel in found.panels.items()} == {
        "left": 4,
        "left-uniform": 4,
        "center": 4,
        "right": 8,
        "decay": 4,
        "start": 4,
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
        reproduce(FIGURE, budget="papr", load=tiny, begin=tiny)
    assert str(caught.value) == "there is no budget named 'papr'; did you mean 'paper'?"


def test_no_experiment_imports_matplotlib_before_it_draws() -> None:
    code = (
        "import sys, metadescent.figures.paper as e; e.experiments();"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
