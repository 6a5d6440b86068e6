"""What commands share out among workers comes out as without them, and is not done twice."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from metadescent.cli.commands.evaluate import tune_ahead
from metadescent.descent.tuning import Tuned
from metadescent.figures.paper import BUDGETS
from metadescent.figures.paper.panels import Setting, run, searches_of
from metadescent.optimizers.lstm import LSTM
from metadescent.runs import folder as runs
from metadescent.runs.cluster import tasks
from metadescent.runs.cluster.executors import Engine, engine_of
from metadescent.runs.cluster.tasks import Tuning, train_all, training, tune_all
from metadescent.runs.log import read_config, read_metrics
from metadescent.runs.recipe import Recipe

TRAIN = (
    *("train", "quadratic(dimension=2)", "--optimizer", "lstm(layers=(2,), p=None)"),
    *("--steps", "4", "--unroll", "2", "--problems", "2", "--epochs", "2", "--episodes", "2"),
    *("--validation-problems", "2", "--out", "r"),
)
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None)",
    steps=4,
    unroll=2,
    epochs=2,
    episodes=2,
    validation_problems=2,
)


def test_seeds_are_runs_of_their_own_and_the_best_is_kept(
    metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, said = metadescent(*TRAIN, "--seeds", "2", "--seed", "5")
    assert status == 0, said
    losses = {}
    for seed in (5, 6):
        folder = tmp_path / "r" / f"seed-{seed}"
        assert read_config(folder)["recipe"]["seed"] == seed
        losses[folder] = min(line["validation_loss"] for line in read_metrics(folder))
    assert len(set(losses.values())) == 2
    best = min(losses, key=losses.__getitem__)
    kept = (tmp_path / "r" / "optimizer.safetensors").read_bytes()
    assert kept == (best / "optimizer.safetensors").read_bytes()

    status, _, said = metadescent(*TRAIN, "--seeds", "2", "--seed", "5")
    assert status == 2
    assert "seed-5 already holds a run; go on with it by --resume" in said

    def again(*_: Any) -> float:
        raise AssertionError("run again")

    monkeypatch.setattr(runs, "validate_trial", again)
    assert metadescent(*TRAIN, "--seeds", "2", "--seed", "5", "--resume")[1] == out
    status, _, said = metadescent(*TRAIN, "--seeds", "3", "--seed", "5", "--resume")
    assert status == 1
    assert "AssertionError: run again" in said


@pytest.mark.slow
def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    def those(name: str) -> list[tasks.Training]:
        return [
            training(tmp_path / name / str(seed), "quadratic(dimension=2)", None, recipe)
            for seed in range(2)
            for recipe in [replace(RECIPE, seed=seed)]
        ]

    alone = train_all(those("alone"), engine_of())
    assert train_all(those("shared"), engine_of(workers=2)) == alone
    assert len(set(alone)) == 2


def test_a_result_of_another_recipe_is_none(tmp_path: Path, sentence: Callable) -> None:
    def one(recipe: Recipe) -> list[tasks.Training]:
        return [training(tmp_path, "quadratic(dimension=2)", None, recipe)]

    train_all(one(RECIPE), engine_of())
    other = replace(RECIPE, clip=1.0)
    assert "its clip is 20.0 and 1.0 was asked for" in sentence(train_all, one(other), engine_of())


def test_a_result_that_is_not_finite_is_kept_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "validate_trial", lambda *_: float("inf"))
    task = training(tmp_path, "quadratic(dimension=2)", None, RECIPE)
    assert train_all([task], engine_of()) == [float("inf")]
    kept = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert kept["result"] == {"loss": None}
    assert train_all([task], engine_of()) == [float("inf")]


def test_rates_that_were_tuned_ahead_are_those_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Tuning] = []

    def found(name: str, problem: Any, key: Any, **sizes: int) -> Tuned:
        return Tuned(0.1, [0.05, 0.1, 0.2], [1.0, 0.5, 1.0], "a guess")

    def searched_again(*_: Any, **__: Any) -> Tuned:
        raise AssertionError("searched again")

    monkeypatch.setattr(tasks, "tune", found)
    monkeypatch.setattr(sys.modules["metadescent.descent.comparison"], "tune", searched_again)
    name = "quadratic(dimension=2)"
    setting = Setting(name, "mine", 100, "convolutions", "", "", ("sgd", "adam"))
    tune_all(
        [
            Tuning(n, p, None, 3, *sizes)
            for n, p, *sizes in searches_of({"one": setting}, BUDGETS["smoke"])
        ],
        engine_of(),
        tmp_path,
        asked.append,
    )
    assert [task.name for task in asked] == ["sgd", "adam"]
    mine = {"mine": LSTM((2,), key=jax.random.key(0))}
    panels = run({"one": setting}, mine, BUDGETS["smoke"], seed=3, cache=tmp_path)
    assert panels["one"].curves["adam"].rate == 0.1
    with pytest.raises(AssertionError, match="searched again"):
        run({"one": setting}, mine, BUDGETS["smoke"], seed=4, cache=tmp_path)


def test_tune_takes_several_problems_and_workers_take_them_before(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tune", "sgd", "quadratic(dimension=2)", "quadratic(dimension=3)")
    sizes = ("--steps", "4", "--seeds", "3")
    opened: list[int] = []

    def here(workers: int, scheduler: str | None) -> Engine:
        opened.append(workers)
        return engine_of()

    monkeypatch.setattr(sys.modules[tune_ahead.__module__], "engine_of", here)
    status, out, said = metadescent(*words, *sizes)
    assert (status, opened) == (0, []), said
    assert out.count("Best rate") == 2
    assert "sgd on quadratic(dimension=3)" in out
    more = (*sizes, "--seed", "1", "--workers", "2")
    status, out, said = metadescent(*words, *more)
    assert (status, opened) == (0, [2]), said
    assert "tune 2/2" in said
    assert metadescent(*words, *sizes, "--seed", "1")[1] == out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--seeds", "2", "--curriculum", "4,8"),
            "--seeds is 2, and a curriculum has one; run it for each --seed",
        ),
        (
            ("--seeds", "2", "--tensorboard"),
            "--seeds is 2, and TensorBoard's log is of one run; leave one of them out",
        ),
        (
            ("--workers", "2"),
            "there is one run, and --workers and --scheduler are for several; try --processes, or "
            "more --seeds",
        ),
    ],
)
def test_what_cannot_be_shared_out_is_said(
    words: tuple[str, ...], said: str, metadescent: Callable
) -> None:
    status, _, errors = metadescent(*TRAIN, *words)
    assert (status, errors.splitlines()[-1]) == (2, f"metadescent: {said}")
