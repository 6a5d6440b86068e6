"""How far it carries: our own claims hold where the numbers bear them out, and all of it runs."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
import pytest

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, panels, transfer
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import problems

TRANSFER = experiment_of("transfer")
BASELINES = {"sgd": 0.45, "nag": 0.33, "rmsprop": 0.36, "adam": 0.34}
KEYS = transfer.CASES
SEEN = [key for key in KEYS if key[0] in transfer.SEEN and key != transfer.LONG]
UNSEEN = [key for key in KEYS if key[0] in transfer.UNSEEN]
ROBUST, PAPER = "mlp-robust-lstm", "mnist-lstm"


def name_of(key: tuple[str, int]) -> str:
    return f"{key[0]}-{key[1]}"


def comparison(
    lstm: float, steps: int, name: str = ROBUST, levels: Mapping[str, float] = MappingProxyType({})
) -> Comparison:
    def curve(level: float, rate: float | None) -> Curve:
        mean = np.full(steps, level)
        return Curve(mean, mean - 0.01, mean + 0.01, rate)

    curves = {name: curve(lstm, None)} | {n: curve(v, 0.1) for n, v in levels.items()}
    return Comparison("problem", steps, 8, curves, {}, 0.5)


def panel(key: tuple[str, int], lstm: float = 0.3, **replaced: float) -> Comparison:
    levels = {"adam": BASELINES["adam"]} if key == transfer.LONG else BASELINES
    return comparison(lstm, key[1], levels=levels | replaced)


def measured(changed: dict[tuple[str, int], Comparison] | None = None) -> dict[str, Comparison]:
    robust = {key: panel(key) for key in KEYS} | (changed or {})
    paper = {f"{name_of(key)}-paper": comparison(9.9, key[1], PAPER) for key in KEYS}
    return {name_of(key): each for key, each in robust.items()} | paper


def failing(changed: dict[tuple[str, int], Comparison]) -> list[tuple[str, int]]:
    claims = TRANSFER.judge(measured(changed))
    return [key for key, claim in zip(KEYS, claims, strict=True) if not claim.holds]


def test_the_settings() -> None:
    assert len(SEEN) == len(UNSEEN) == 8
    assert [*sorted(SEEN + UNSEEN), transfer.LONG] == [*sorted(KEYS[:-1]), KEYS[-1]]
    assert {key[0] for key in KEYS} <= set(problems())
    assert {key[1] for key in KEYS[:-1]} == {100, 1000}
    assert not {name for name, _ in SEEN} & {name for name, _ in UNSEEN}
    for key in KEYS:
        name = name_of(key)
        robust, paper = TRANSFER.settings[name], TRANSFER.settings[f"{name}-paper"]
        tuned = ("adam",) if key == transfer.LONG else ("sgd", "nag", "rmsprop", "adam")
        assert (robust.problem, robust.num_steps) == (paper.problem, paper.num_steps) == key
        assert (robust.optimizer, paper.optimizer) == (ROBUST, PAPER) == TRANSFER.optimizers
        assert (robust.baselines, paper.baselines) == (tuned, ())
    # Of each: the robust one, the paper's, and each baseline tuned and run.
    assert TRANSFER.units == 16 * (2 + 2 * 4) + (2 + 2 * 1)


def test_ahead_everywhere_every_claim_holds() -> None:
    claims = TRANSFER.judge(measured())
    assert len(claims) == len(KEYS)
    for key, claim in zip(KEYS, claims, strict=True):
        best = 0.34 if key == transfer.LONG else 0.33
        assert claim.holds
        assert claim.section == "ours"
        assert (claim.measured, claim.reference) == pytest.approx((0.3, best))


def test_a_claim_says_what_was_compared() -> None:
    texts = dict(zip(KEYS, (claim.text for claim in TRANSFER.judge(measured())), strict=True))
    assert texts["mnist-2-layers", 1000] == (
        "mlp-robust-lstm, 2 layers, 1,000 steps: mean loss over steps 901–1000, the LSTM's against "
        "the best baseline's; holds if it is less or the 95 % intervals touch"
    )
    assert texts["mnist-tanh", 100].endswith("holds if it is at most 1.1 times as much")
    assert texts[transfer.LONG].startswith("mlp-robust-lstm, 20 sigmoid units, 10,000 steps: ")
    assert texts[transfer.LONG].endswith("holds if it is at most 1.2 times as much")
    assert len(set(texts.values())) == len(texts)


@pytest.mark.parametrize(
    ("keys", "most"),
    [
        # Both intervals are 0.01 wide to each side.
        (SEEN, 0.35),
        (UNSEEN, 1.1 * 0.33),
        ([transfer.LONG], 1.2 * 0.34),
    ],
    ids=["seen", "unseen", "long"],
)
def test_each_claim_is_of_its_own_panel_and_has_its_own_margin(
    keys: list[tuple[str, int]], most: float
) -> None:
    for key in keys:
        assert failing({key: panel(key, 0.999 * most)}) == []
        assert failing({key: panel(key, 1.001 * most)}) == [key]


def test_any_baseline_may_be_the_best() -> None:
    for key in (("mnist", 100), ("mnist-elu", 1000)):
        for name in BASELINES:
            assert failing({key: panel(key, **{name: 0.1})}) == [key]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_divergence_supports_no_claim(loss: float) -> None:
    assert failing({key: panel(key, loss) for key in KEYS}) == KEYS
    nobody = {key: panel(key, **dict.fromkeys(BASELINES, loss)) for key in SEEN}
    assert failing(nobody) == SEEN


def test_the_plot_shows_the_longer_horizons() -> None:
    figure = TRANSFER.plot(measured())
    shown = [axes for axes in figure.axes if axes.lines]
    titles = [axes.get_title(loc="left") for axes in shown]
    assert titles == [TRANSFER.settings[name_of(key)].title for key in KEYS if key[1] > 100]
    assert len(set(titles)) == 9
    assert [axes.get_xlim()[1] for axes in shown] == 8 * [1000] + [10_000]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(names) == {
        "robust LSTM",
        "LSTM of the paper's recipe",
        "SGD",
        "NAG",
        "RMSprop",
        "Adam",
    }
    assert [len(axes.lines) for axes in shown] == 8 * [6] + [3]


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_panel_runs_beside_the_papers_recipe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: str, cleared: list[None]
) -> None:
    calls, loaded, said, made = [], [], [], []

    def compare(learned, problem, problem_name, *, progress, **options) -> Comparison:
        calls.append((list(learned), problem_name, options))
        assert problem is made[-1]
        progress("running")
        levels = {name: BASELINES[name] for name in options["baselines"]}
        return comparison(0.3, options["num_steps"], next(iter(learned)), levels)

    def load(name: str) -> LearnedOptimizer:
        loaded.append(name)
        return tiny(name)

    def make_problem(spec: str, data_dir: object) -> Quadratic:
        assert len(cleared) == len(made)
        made.append(Quadratic(dimension=3))
        return made[-1]

    monkeypatch.setattr(panels, "make_problem", make_problem)
    monkeypatch.setattr(panels, "compare", compare)
    found = reproduce(
        TRANSFER, budget=budget, load=load, seed=3, cache=tmp_path, progress=said.append
    )
    assert loaded == [ROBUST, PAPER]
    # Both meet one problem, made once.
    assert len(made) == len(cleared) == len(KEYS)
    seeds = BUDGETS[budget].sweeps
    expected: list[Any] = []
    for key in KEYS:
        tuned = ("adam",) if key == transfer.LONG else ("sgd", "nag", "rmsprop", "adam")
        for name, baselines in ((ROBUST, tuned), (PAPER, ())):
            options = {
                "baselines": baselines,
                "num_steps": BUDGETS[budget].steps(key[1]),
                "num_seeds": seeds.report,
                "tune_seeds": seeds.tune,
                "seed": 3,
                "cache": tmp_path,
            } | ({} if seeds.tune else {"searched": untuned(baselines)})
            expected.append(([name], key[0], options))
    assert calls == expected
    names = [f"{name}-{steps}{end}" for name, steps in KEYS for end in ("", "-paper")]
    assert list(found.panels) == names
    assert said == [f"{name}: running" for name in names]
    assert len(found.claims) == len(KEYS)
    json.dumps(found.to_json())


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting with claims of each margin, on quadratics and beside Adam, from end to end."""
    few = [("mnist-tanh", 1000), transfer.LONG]
    names = {f"{name_of(key)}{end}" for key in few for end in ("", "-paper")}
    chosen = {n: s for n, s in TRANSFER.settings.items() if n in names}
    chosen |= {n: s._replace(baselines=("adam",)) for n, s in chosen.items() if s.baselines}
    monkeypatch.setattr(transfer, "CASES", few)
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    small = replace(TRANSFER, settings=chosen)
    reports: list[str] = []
    reproduction = reproduce(small, budget="smoke", load=tiny, progress=reports.append)
    assert len(reports) == small.units == 2 * 4
    measured = reproduction.panels.values()
    assert [panel.steps for panel in measured] == [40, 40, 400, 400]
    assert [list(panel.curves) for panel in measured] == 2 * [[ROBUST, "adam"], [PAPER]]
    assert len(reproduction.claims) == 2
    json.dumps(reproduction.to_json())
    assert len([axes for axes in reproduction.plot().axes if axes.lines]) == 2
