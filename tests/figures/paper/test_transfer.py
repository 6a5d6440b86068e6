"""How far it carries: our own claims hold where the numbers bear them out, and all of it runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import untuned
from metadescent.figures.paper import experiment_of, panels, transfer
from metadescent.figures.paper.budgets import BUDGETS
from metadescent.figures.paper.experiment import reproduce
from metadescent.figures.paper.networks import CASES, LONG, SEEN, UNSEEN
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.registry import problems

TRANSFER = experiment_of("transfer")
KEYS = CASES
SEEN_KEYS = [key for key in KEYS if key[0] in SEEN and key != LONG]
UNSEEN_KEYS = [key for key in KEYS if key[0] in UNSEEN]
ROBUST, PAPER = "mlp-robust-lstm", "mnist-lstm"


def name_of(key: tuple[str, int]) -> str:
    return f"{key[0]}-{key[1]}"


def test_the_settings() -> None:
    assert len(SEEN_KEYS) == len(UNSEEN_KEYS) == 8
    assert [*sorted(SEEN_KEYS + UNSEEN_KEYS), LONG] == [*sorted(KEYS[:-1]), KEYS[-1]]
    assert {key[0] for key in KEYS} <= set(problems())
    assert {key[1] for key in KEYS[:-1]} == {100, 1000}
    assert not set(SEEN) & set(UNSEEN)
    for key in KEYS:
        name = name_of(key)
        robust, paper = TRANSFER.settings[name], TRANSFER.settings[f"{name}-paper"]
        tuned = ("adam",) if key == LONG else ("sgd", "nag", "rmsprop", "adam")
        assert (robust.problem, robust.num_steps) == (paper.problem, paper.num_steps) == key
        assert (robust.optimizer, paper.optimizer) == (ROBUST, PAPER) == TRANSFER.optimizers
        assert (robust.baselines, paper.baselines) == (tuned, ())
    # Of each: the robust one, the paper's, both as they begin, and each baseline tuned and run.
    assert TRANSFER.units == 16 * (4 + 2 * 4) + (4 + 2 * 1)


def test_a_claim_says_what_was_compared(claims: Callable) -> None:
    judged = claims(TRANSFER)
    assert list(judged) == [*map(name_of, KEYS), "learned"]
    assert {claim.section for claim in judged.values()} == {"ours"}
    assert judged["mnist-2-layers-100"].text == (
        "mlp-robust-lstm, 2 layers, 100 steps: mean loss over steps 91–100, the LSTM's beside each "
        "baseline's; holds if the 95 % interval of the ratio to each is below 1.05"
    )
    assert judged["mnist-tanh-100"].text.endswith("to each is below 1.1")
    assert judged["mnist-10000"].text.startswith("mlp-robust-lstm, 20 sigmoid units, 10,000 steps:")
    assert judged["mnist-10000"].text.endswith("to each is below 1.2")


@pytest.mark.parametrize(
    ("keys", "margin", "best"),
    [(SEEN_KEYS, 1.05, 0.33), (UNSEEN_KEYS, 1.1, 0.33), ([LONG], 1.2, 0.34)],
    ids=["seen", "unseen", "long"],
)
def test_each_claim_is_of_its_own_panel_and_has_its_own_margin(
    keys: list[tuple[str, int]], margin: float, best: float, panel: Callable, failing: Callable
) -> None:
    """The whole interval is below it."""
    for key in keys[::3]:
        name = name_of(key)
        setting = TRANSFER.settings[name]
        assert failing(TRANSFER, {name: panel(setting, (margin - 0.03) * best)}) == []
        assert failing(TRANSFER, {name: panel(setting, (margin - 0.001) * best)}) == [name]


def test_any_baseline_may_be_the_best(panel: Callable, failing: Callable) -> None:
    setting = TRANSFER.settings["mnist-elu-1000"]
    for name in setting.baselines:
        changed = {"mnist-elu-1000": panel(setting, **{name: 0.1})}
        assert "mnist-elu-1000" in failing(TRANSFER, changed)


def test_the_plot_shows_the_longer_horizons(panel: Callable) -> None:
    settings = TRANSFER.settings
    measured = {n: panel(s, steps=s.num_steps // 10) for n, s in settings.items()}
    figure = TRANSFER.plot(measured)
    shown = [axes for axes in figure.axes if axes.lines]
    titles = [axes.get_title(loc="left") for axes in shown]
    assert titles == [settings[name_of(key)].title for key in KEYS if key[1] > 100]
    assert len(set(titles)) == 9
    assert [axes.get_xlim()[1] for axes in shown] == 8 * [100] + [1000]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    both = ("robust LSTM", "LSTM of the paper's recipe")
    begun = [f"{label}, as it begins" for label in both]
    assert set(names) == {*both, *begun, "SGD", "NAG", "RMSprop", "Adam"}
    assert [len(axes.lines) for axes in shown] == 8 * [8] + [5]


def tiny(name: str) -> LearnedOptimizer:
    return LSTM((4,), p=None, scale=0.1, key=jax.random.key(len(name)))


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_panel_runs_beside_the_papers_recipe(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    budget: str,
    cleared: list[None],
    panel: Callable,
) -> None:
    calls, loaded, said, made = [], [], [], []

    def compare(learned, problem, problem_name, *, progress, **options) -> Comparison:
        calls.append((list(learned), problem_name, options))
        assert problem is made[-1]
        progress("running")
        levels = dict.fromkeys([*learned, *options["baselines"]], 0.3)
        return panel(levels, steps=options["num_steps"])

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
        TRANSFER, budget=budget, load=load, begin=tiny, seed=3, cache=tmp_path, progress=said.append
    )
    assert loaded == [ROBUST, PAPER]
    # Both meet one problem, made once.
    assert len(made) == len(cleared) == len(KEYS)
    seeds = BUDGETS[budget].sweeps
    expected: list[Any] = []
    for key in KEYS:
        tuned = ("adam",) if key == LONG else ("sgd", "nag", "rmsprop", "adam")
        for name, baselines in ((ROBUST, tuned), (PAPER, ())):
            options = {
                "baselines": baselines,
                "num_steps": BUDGETS[budget].steps(key[1]),
                "num_seeds": seeds.report,
                "tune_seeds": seeds.tune,
                "seed": 3,
                "cache": tmp_path,
            } | ({} if seeds.tune else {"searched": untuned(baselines)})
            expected.append(([name, as_begun(name)], key[0], options))
    assert calls == expected
    names = [f"{name}-{steps}{end}" for name, steps in KEYS for end in ("", "-paper")]
    assert list(found.panels) == names
    assert said == [f"{name}: running" for name in names]
    assert len(found.claims) == len(KEYS) + 1
    json.dumps(found.to_json())


@pytest.mark.slow
def test_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting with claims of each margin, on quadratics and beside Adam, from end to end."""
    few = [("mnist-tanh", 1000), LONG]
    names = {f"{name_of(key)}{end}" for key in few for end in ("", "-paper")}
    chosen = {n: s for n, s in TRANSFER.settings.items() if n in names}
    chosen |= {n: s._replace(baselines=("adam",)) for n, s in chosen.items() if s.baselines}
    monkeypatch.setattr(transfer, "CASES", few)
    monkeypatch.setattr(panels, "make_problem", lambda spec, data_dir: Quadratic(dimension=3))
    criteria = [c for c in TRANSFER.criteria if set(c.panels) <= names]
    small = replace(TRANSFER, settings=chosen, criteria=criteria)
    reports: list[str] = []
    reproduction = reproduce(small, budget="smoke", load=tiny, begin=tiny, progress=reports.append)
    assert len(reports) == small.units == 2 * 6
    measured = reproduction.panels.values()
    assert [panel.steps for panel in measured] == [40, 40, 400, 400]
    robust, paper = ([name, as_begun(name)] for name in (ROBUST, PAPER))
    assert [list(panel.curves) for panel in measured] == 2 * [[*robust, "adam"], paper]
    assert len(reproduction.claims) == 2
    json.dumps(reproduction.to_json())
    assert len([axes for axes in reproduction.plot().axes if axes.lines]) == 2
