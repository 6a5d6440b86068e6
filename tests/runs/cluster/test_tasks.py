"""What commands share out among workers comes out as without them, and is not done twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from metadescent.cli import baselines
from metadescent.descent import comparison, tuning_cache
from metadescent.descent.tuning import Tuned
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.cluster import tasks
from metadescent.runs.cluster.executors import Engine, engine_of
from metadescent.runs.cluster.tasks import (
    Training,
    Tuning,
    run_in_turn,
    run_training,
    run_trainings,
    run_tuning,
    run_tunings,
    training_task,
)
from metadescent.runs.folder import read_config
from metadescent.runs.log import read_metrics
from metadescent.runs.recipe import Recipe

NAME = "quadratic(dimension=2)"
RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=4,
    episodes=2,
    meta_rate=0.03,
    average=0.5,
    validation_problems=2,
)


@pytest.fixture(scope="module")
def flags(trained: Callable, flags_of: Callable) -> list[str]:
    """The flags of runs whose programs have been compiled."""
    trained(RECIPE)
    return flags_of(RECIPE)


def test_a_task_is_plain_data_that_any_worker_can_do() -> None:
    task = training_task(Path("runs/x"), NAME, Path("data"), Recipe(epochs=3))
    assert Training(*json.loads(json.dumps(task))) == task
    assert Path(task.folder).is_absolute()
    assert Path(task.data_dir or "").is_absolute()
    assert (task.problem, task.recipe["epochs"]) == (NAME, 3)
    assert training_task(Path("x"), NAME, None, Recipe()).data_dir is None


BOWL = """
import jax, metadescent
bowl = metadescent.FromFunction(lambda theta, key: theta**2, lambda key: jax.numpy.ones(()))
"""


@pytest.fixture
def bowl(tmp_path: Path) -> str:
    """The name of a problem in a file."""
    (tmp_path / "my_problem.py").write_text(BOWL)
    return f"{tmp_path}/my_problem.py:bowl"


def test_runs_in_turn_go_on_from_one_another(bowl: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    recipe = Recipe(
        # An optimizer that does nothing, so that the loss stays where it was.
        optimizer="lstm(layers=(), scale=0.0)",
        steps=1,
        unroll=1,
        epochs=1,
        episodes=1,
        validation_problems=1,
    )
    chain = [
        training_task(first, bowl, None, recipe),
        # Whose file is not there yet.
        training_task(second, bowl, None, replace(recipe, init=str(first))),
    ]
    assert run_in_turn(chain) == [{"loss": 1.0}, {"loss": 1.0}]
    assert run_training(chain[0]) == {"loss": 1.0}


def test_a_rate_is_tuned_on_a_problem_in_a_file(bowl: str) -> None:
    tuned = run_tuning(Tuning("sgd", bowl, None, seed=0, num_steps=2, num_seeds=1))
    assert tuned["rate"] in tuned["grid"]


def test_seeds_are_runs_of_their_own_and_the_best_is_kept(
    flags: list[str], metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", NAME, "--out", "r", *flags, "--seed", "5", "--seeds")
    status, out, said = metadescent(*words, "2")
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

    status, _, said = metadescent(*words, "2")
    assert status == 2
    assert "seed-5 already holds a run; go on with it by the same words and --resume" in said

    def again(*_: Any) -> float:
        raise AssertionError("run again")

    monkeypatch.setattr(tasks, "validate_trial", again)
    assert metadescent(*words, "2", "--resume")[1] == out
    status, _, said = metadescent(*words, "3", "--resume")
    assert status == 1
    assert "AssertionError: run again" in said


@pytest.mark.slow
def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    def those(name: str) -> list[Training]:
        return [
            training_task(tmp_path / name / str(seed), NAME, None, replace(RECIPE, seed=seed))
            for seed in range(2)
        ]

    alone = run_trainings(those("alone"), engine_of())
    assert run_trainings(those("shared"), engine_of(workers=2)) == alone
    assert len(set(alone)) == 2


def test_a_result_of_another_recipe_is_none(
    flags: list[str], tmp_path: Path, sentence: Callable
) -> None:
    def of(recipe: Recipe) -> list[Training]:
        return [training_task(tmp_path, NAME, None, recipe)]

    run_trainings(of(RECIPE), engine_of())
    other = replace(RECIPE, clip=1.0)
    assert "its clip is 20.0 and 1.0 was asked for" in sentence(
        run_trainings, of(other), engine_of()
    )


def test_a_result_that_is_not_finite_is_kept_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "validate_trial", lambda *_: float("inf"))
    task = training_task(tmp_path, NAME, None, RECIPE)
    assert run_trainings([task], engine_of()) == [float("inf")]
    kept = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert kept["result"] == {"loss": None}
    assert run_trainings([task], engine_of()) == [float("inf")]


def test_rates_that_were_tuned_ahead_are_those_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guess(name: str, problem: Any, key: Any, **sizes: int) -> Tuned:
        return Tuned(0.1, [0.05, 0.1, 0.2], [1.0, 0.5, 1.0], "a guess")

    def searched_again(*_: Any, **__: Any) -> Tuned:
        raise AssertionError("searched again")

    monkeypatch.setattr(tasks, "tune", guess)
    monkeypatch.setattr(tuning_cache, "tune", searched_again)
    # What is asked for twice is done once.
    asked = [Tuning(name, NAME, None, 3, 4, 5) for name in ("sgd", "adam", "sgd")]
    for _ in range(2):
        told: list[Tuning] = []
        run_tunings(asked, engine_of(), tmp_path, told.append)
        assert [task.name for task in told] == ["sgd", "adam"]
        # The second time all of them are in the cache.
        monkeypatch.setattr(tasks, "tune", searched_again)

    def ones(rule: Any, problem: Any, key: Any, *, num_steps: int, num_seeds: int) -> Any:
        return jnp.ones((num_seeds, num_steps))

    # What the rates are for is not run.
    monkeypatch.setattr(comparison, "learning_curves", ones)

    def curves(seed: int) -> Any:
        m = {"mine": LSTM((2,), key=jax.random.key(0))}
        sizes = {"num_steps": 4, "num_seeds": 2, "tune_seeds": 5}
        chosen = ["sgd", "adam"]
        return comparison.compare(
            m, Quadratic(dimension=2), NAME, baselines=chosen, seed=seed, cache=tmp_path, **sizes
        ).curves

    assert curves(seed=3)["adam"].rate == 0.1
    with pytest.raises(AssertionError, match="searched again"):
        curves(seed=4)


def test_tune_takes_several_problems_and_workers_take_them_before(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("tune", "sgd", NAME, "quadratic(dimension=3)")
    sizes = ("--steps", "4", "--seeds", "3")
    opened: list[int] = []

    def engine(workers: int, scheduler: str | None) -> Engine:
        opened.append(workers)
        return engine_of()

    monkeypatch.setattr(baselines, "engine_of", engine)
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
            ("--workers", "2"),
            "there is one run, and --workers and --scheduler are for several; try --processes, or "
            "more --seeds",
        ),
    ],
)
def test_what_cannot_be_shared_out_is_said(
    words: tuple[str, ...], said: str, metadescent: Callable
) -> None:
    status, _, errors = metadescent("train", NAME, *words)
    assert (status, errors.splitlines()[-1]) == (2, f"metadescent: {said}")
