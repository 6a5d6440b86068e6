"""Appendix D: each claim holds where the numbers bear it out, fails where not, and all runs."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent._spec import parse
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import appendix_d, experiment_of, panels
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.optimizers.appendix_d.gac import LSTMGAC
from metadescent.optimizers.appendix_d.ntm_bfgs import NTMBFGS
from metadescent.optimizers.appendix_d.ntm_l_bfgs import NTMLBFGS
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import problems

APPENDIX_D = experiment_of("appendix-d")
SETTINGS = APPENDIX_D.settings
KEY = jax.random.key(0)
AHEAD = {"mine": 0.01, "ill-conditioned-lstm": 0.4, "quadratic-lstm": 0.4}
KINDS = ("gac", "ntm-bfgs", "ntm-l-bfgs")


def test_the_settings() -> None:
    assert {parse(setting.problem)[0] for setting in SETTINGS.values()} <= set(problems())
    for name, setting in SETTINGS.items():
        assert setting.optimizer.endswith("-lstm")
        # A line search takes an f without minibatches.
        assert ("lbfgs" in setting.baselines) == (name != "mnist")
    assert "mnist-ntm-bfgs" not in APPENDIX_D.optimizers
    assert appendix_d.BROYDEN not in APPENDIX_D.optimizers
    assert len(set(APPENDIX_D.optimizers)) == len(APPENDIX_D.optimizers) == 11
    assert BUDGETS["cpu"].functions.report >= 500


def test_a_claim_says_what_was_compared(claims: Callable) -> None:
    judged = claims(APPENDIX_D)
    references = {id: (claim.measured, claim.reference) for id, claim in judged.items()}
    assert references == {
        "rotated-10-lstm": pytest.approx((0.01, 0.4)),
        "rotated-10-baselines": pytest.approx((0.01, 0.33)),
        "rotated-20-lstm": pytest.approx((0.01, 0.4)),
        "rotated-20-baselines": pytest.approx((0.01, 0.33)),
        "quadratic-lstm": pytest.approx((0.01, 0.4)),
        "learned": pytest.approx((0.01, 0.45)),
    }
    assert judged["rotated-10-lstm"].text == (
        "rotated quadratics of condition number 1000 in 10 dimensions: the best of LSTM+GAC, "
        "NTM-BFGS and NTM-L-BFGS beside the LSTM: loss after step 100, ill-conditioned-gac's or "
        "ill-conditioned-ntm-bfgs' or ill-conditioned-ntm-l-bfgs' beside ill-conditioned-lstm's; "
        "holds if the 95 % interval of the ratio of one of them is below 0.1"
    )
    assert "in 20 dimensions" in judged["rotated-20-lstm"].text
    assert judged["quadratic-lstm"].text.endswith("is below 0.3")


@pytest.mark.parametrize(("name", "margin"), [("rotated-10", 0.1), ("quadratic", 0.3)])
def test_each_has_its_margin(name: str, margin: float, panel: Callable, failing: Callable) -> None:
    rich = dict.fromkeys(("sgd", "nag", "rmsprop", "adam"), 9.0)

    def fails(part: float) -> list[str]:
        levels = AHEAD | {"mine": part * margin * 0.4} | rich
        return failing(APPENDIX_D, {name: panel(SETTINGS[name], **levels)})

    assert fails(0.9) == []
    assert fails(1.01) == [f"{name}-lstm"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_the_three_is_enough(kind: str, panel: Callable, claims: Callable) -> None:
    best = panel(SETTINGS["rotated-20"], **AHEAD | {"mine": 0.4, f"ill-conditioned-{kind}": 0.01})
    judged = claims(APPENDIX_D, {"rotated-20": best})
    assert judged["rotated-20-lstm"].holds
    assert judged["rotated-20-lstm"].measured == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["sgd", "nag", "rmsprop", "adam"])
def test_every_first_order_baseline_counts_and_l_bfgs_is_none(
    name: str, panel: Callable, failing: Callable
) -> None:
    setting = SETTINGS["rotated-20"]
    near = panel(setting, **AHEAD | {name: 0.05})
    assert failing(APPENDIX_D, {"rotated-20": near}) == ["rotated-20-baselines"]
    assert failing(APPENDIX_D, {"rotated-20": panel(setting, **AHEAD | {"lbfgs": 1e-9})}) == []


def test_what_nobody_learned_is_none_of_the_three(panel: Callable, claims: Callable) -> None:
    by_hand = AHEAD | {"mine": 0.4, "ill-conditioned-ntm-bfgs": 0.02, appendix_d.BROYDEN: 0.001}
    judged = claims(APPENDIX_D, {"rotated-10": panel(SETTINGS["rotated-10"], **by_hand)})
    assert judged["rotated-10-lstm"].measured == pytest.approx(0.02)


@pytest.fixture(scope="module")
def m() -> LearnedOptimizer:
    return appendix_d.broyden(0.5)


def test_broydens_second_method(m: LearnedOptimizer, assert_close: Callable) -> None:
    """B ← B + (s − B y) yᵀ/⟨y, y⟩ from B = γ I, and θ ← θ − B ∇, as in Broyden (1965)."""
    gamma, n = 0.5, 4
    W, y0 = np.array([[2.0, 1, 0, 0], [0, 1, 0.5, 0], [0, 0, 0.7, 0.2], [0, 0, 0, 0.4]]), np.ones(n)

    def slope(theta: Any) -> np.ndarray:
        return W.T @ (W @ np.asarray(theta) - y0)

    update = eqx.filter_jit(m.update)
    theta = by_hand = np.zeros(n)
    state, B = m.init(jnp.asarray(theta, jnp.float32)), gamma * np.eye(n)
    before = None
    for _ in range(6):
        gradient = slope(by_hand)
        if before is not None:
            s, y = before[0], gradient - before[1]
            B = B + np.outer(s - B @ y, y) / (y @ y)
        before = -B @ gradient, gradient
        by_hand = by_hand + before[0]
        g, state = update(jnp.asarray(slope(theta), jnp.float32), state)
        theta = theta + np.asarray(g)
        assert_close(theta, by_hand, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_who_diverges_is_not_the_best(broken: float, panel: Callable, failing: Callable) -> None:
    one = panel(SETTINGS["rotated-10"], **AHEAD | {"ill-conditioned-gac": broken})
    assert failing(APPENDIX_D, {"rotated-10": one}) == []
    all_three = AHEAD | {f"ill-conditioned-{kind}": broken for kind in KINDS}
    assert failing(APPENDIX_D, {"rotated-10": panel(SETTINGS["rotated-10"], **all_three)}) == [
        "rotated-10-lstm",
        "rotated-10-baselines",
        "learned",
    ]


def test_the_plot_has_every_panel_and_says_what_kind_each_is(panel: Callable) -> None:
    figure = APPENDIX_D.plot({n: panel(s, **AHEAD) for n, s in SETTINGS.items()})
    shown = [axes for axes in figure.axes if axes.lines]
    titles = [axes.get_title(loc="left") for axes in shown]
    assert titles == [setting.title for setting in SETTINGS.values()]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    kinds = ["LSTM", "LSTM+GAC", "NTM-BFGS", "NTM-L-BFGS"]
    assert sorted(names) == sorted(
        [
            *(*kinds, *(f"{kind}, as it begins" for kind in kinds)),
            *("Broyden, not learned", "SGD", "NAG", "RMSprop", "Adam", "L-BFGS"),
        ]
    )


def tiny(name: str) -> LearnedOptimizer:
    key = jax.random.key(len(name))
    if name.endswith("-gac"):
        return LSTMGAC((2,), 1, key=key)
    if name.endswith("-ntm-bfgs"):
        return NTMBFGS((2,), 1, secants=1.0, key=key)
    if name.endswith("-ntm-l-bfgs"):
        return NTMLBFGS((2,), 1, history=3, key=key)
    return LSTM((2,), key=key)


@pytest.mark.parametrize("budget", ["smoke", "cpu"])
def test_each_panel_runs_what_it_says(
    m: LearnedOptimizer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    budget: str,
    panel: Callable,
) -> None:
    calls, loaded, said, timed = [], [], [], []

    def compare(learned, problem, problem_name, *, progress, **options) -> Comparison:
        (name,) = (n for n, s in SETTINGS.items() if s.problem == problem_name)
        calls.append((name, tuple(learned), options))
        progress("running")
        return panel(SETTINGS[name], **AHEAD, steps=options["num_steps"])

    def load(name: str) -> LearnedOptimizer:
        loaded.append(name)
        return m

    def with_costs(measured: Comparison, learned: Any, problem: Any, key: Any) -> Comparison:
        timed.append(list(learned))
        return measured._replace(seconds=dict.fromkeys(measured.curves, 1.0))

    def make_problem(spec: str, data_dir: object) -> Quadratic:
        return Quadratic(dimension=3)

    monkeypatch.setattr(panels, "make_problem", make_problem)
    monkeypatch.setattr(panels, "compare", compare)
    monkeypatch.setattr(panels, "with_costs", with_costs)
    found = reproduce(
        APPENDIX_D,
        budget=budget,
        load=load,
        begin=lambda name: m,
        seed=3,
        cache=tmp_path,
        progress=said.append,
    )
    assert loaded == list(APPENDIX_D.optimizers)
    assert list(found.panels) == list(SETTINGS) == [name for name, _, _ in calls]
    assert timed == [list(learned) for _, learned, _ in calls]
    for (name, learned, options), setting in zip(calls, SETTINGS.values(), strict=True):
        seeds = getattr(BUDGETS[budget], "sweeps" if name in ("logistic", "mnist") else "functions")
        begun = map(as_begun, setting.learned)
        assert learned == (*setting.learned, *setting.by_hand, *begun)
        assert options == {
            "baselines": setting.baselines,
            "num_steps": BUDGETS[budget].steps(100),
            "num_seeds": seeds.report,
            "tune_seeds": seeds.tune,
            "seed": 3,
            "cache": tmp_path,
        } | ({} if seeds.tune else {"searched": untuned(setting.baselines)})
    assert said == [text for name in SETTINGS for text in (f"{name}: running", f"{name}: timed")]
    assert len(found.claims) == 6


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    said: list[str] = []
    found = reproduce(APPENDIX_D, budget="smoke", load=tiny, begin=tiny, progress=said.append)
    assert len(said) == APPENDIX_D.units
    for name, panel in found.panels.items():
        assert list(panel.seconds) == list(panel.curves)
        assert all(seconds > 0 for seconds in panel.seconds.values())
        assert next(iter(panel.curves)) == SETTINGS[name].optimizer
    json.dumps(found.to_json())
    assert len([axes for axes in found.plot().axes if axes.lines]) == 5
