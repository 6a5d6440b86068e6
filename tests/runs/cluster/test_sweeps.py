"""Sweeps: the same results whoever runs the tasks; what is finished is kept, what is lost run."""

import importlib
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from metadescent._errors import LostError
from metadescent.runs.cluster.executors import Engine, engine_of
from metadescent.runs.cluster.sweeps import sweep


@pytest.fixture
def chores(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("chores")


@pytest.fixture
def tasks(tmp_path: Path) -> list[dict[str, Any]]:
    return [{"n": n, "log": str(tmp_path / "log")} for n in range(6)]


def runs_of(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "log").read_text().split())


def test_results_come_in_the_order_of_the_tasks(
    chores: Any, tasks: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert sweep(chores.square, tasks, engine_of()) == [0, 1, 4, 9, 16, 25]
    assert set(runs_of(tmp_path).values()) == {1}


def test_what_is_finished_is_kept_at_once_and_not_run_again(
    chores: Any, tasks: list[dict[str, Any]], tmp_path: Path
) -> None:
    kept: dict[int, int] = {}

    def again(most: int) -> list[int]:
        def keep(task: dict[str, Any], result: int) -> None:
            if len(kept) == most:
                raise KeyboardInterrupt
            kept[task["n"]] = result

        return sweep(chores.square, tasks, engine_of(), kept=lambda t: kept.get(t["n"]), keep=keep)

    with pytest.raises(KeyboardInterrupt):
        again(most=4)
    assert kept == {0: 0, 1: 1, 2: 4, 3: 9}
    (tmp_path / "log").unlink()
    assert again(most=6) == [0, 1, 4, 9, 16, 25]
    assert set(runs_of(tmp_path)) == {"4", "5"}


def test_a_lost_worker_s_tasks_run_again_and_no_others(
    chores: Any, tasks: list[dict[str, Any]], tmp_path: Path
) -> None:
    tasks[3]["deadly"] = str(tmp_path / "once")
    reported: list[int] = []
    # Without what `engine_of` adds to such a pool, its workers do without JAX.
    spawn = multiprocessing.get_context("spawn")
    engine = Engine(lambda: ProcessPoolExecutor(2, mp_context=spawn), 4)
    results = sweep(chores.square, tasks, engine, report=lambda t, r: reported.append(t["n"]))
    assert results == [0, 1, 4, 9, 16, 25]
    assert sorted(reported) == [0, 1, 2, 3, 4, 5]
    assert runs_of(tmp_path)["3"] == 2


def test_workers_that_are_lost_again_and_again_get_a_sentence(
    chores: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metadescent.runs.cluster.sweeps.PATIENCE", 1)
    with pytest.raises(LostError, match="1 of 1 tasks are not done, as workers were lost 1 times"):
        sweep(chores.always_deadly, [0], engine_of(workers=2))


def test_what_a_task_raises_is_raised(chores: Any, sentence: Callable) -> None:
    said = sentence(sweep, chores.refuse, [7], engine_of())
    assert said == "task 7 cannot be; try another"


def test_a_scheduler_without_dask_gets_a_sentence(
    sentence: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = sentence(sweep, abs, [1], engine_of(scheduler="tcp://nowhere:1"))
    assert said == (
        "the scheduler at tcp://nowhere:1 is Dask's, which is not installed; try pip install "
        "'metadescent[dask]'"
    )


# Dask


@pytest.fixture
def cluster(chores: Any) -> Iterator[Any]:
    distributed = pytest.importorskip(
        "distributed", reason="Dask is not installed; pip install 'metadescent[dask]'"
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as local:
        yield local


@pytest.mark.filterwarnings("ignore")
def test_forty_tasks_on_two_workers_of_dask_one_of_them_killed_half_way(
    chores: Any, cluster: Any, tmp_path: Path
) -> None:
    tasks = [{"n": n, "log": str(tmp_path / "log"), "seconds": 0.02} for n in range(40)]
    kept: list[int] = []

    def keep(task: dict[str, Any], result: int) -> None:
        kept.append(task["n"])
        if len(kept) == 20:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    results = sweep(chores.square, tasks, engine_of(scheduler=cluster.scheduler_address), keep=keep)
    assert results == [n**2 for n in range(40)]
    assert sorted(kept) == list(range(40))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_forty_runs_on_two_workers_of_dask_one_of_them_killed_half_way(
    cluster: Any, tmp_path: Path
) -> None:
    from metadescent.runs.cluster.tasks import run_trainings, training_task
    from metadescent.runs.recipe import Recipe

    recipes = [
        Recipe(
            optimizer="lstm(layers=(2,), p=None)",
            steps=4,
            unroll=2,
            epochs=2,
            episodes=2,
            decay="constant",
            validation_problems=2,
            seed=seed,
        )
        for seed in range(40)
    ]

    def tasks(name: str) -> list[Any]:
        return [
            training_task(tmp_path / name / str(r.seed), "quadratic(dimension=2)", None, r)
            for r in recipes
        ]

    done: list[float] = []

    def say(task: Any, loss: float) -> None:
        done.append(loss)
        if len(done) == 20:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    by_dask = run_trainings(tasks("dask"), engine_of(scheduler=cluster.scheduler_address), say)
    assert len(done) == 40
    by_one = run_trainings(tasks("one"), engine_of())
    assert by_dask == by_one
    assert len(set(by_one)) == 40


def test_an_engine_is_any_executor(chores: Any, tasks: list[dict[str, Any]]) -> None:
    assert sweep(chores.square, tasks, Engine(lambda: ThreadPoolExecutor(2))) == [
        n**2 for n in range(6)
    ]
