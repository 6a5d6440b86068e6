"""MLflow itself has the numbers of metrics.jsonl, each once, whatever befell the run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadescent.runs.checkpoint import checkpoints
from metadescent.runs.loggers.mlflow import MLflow

mlflow = pytest.importorskip("mlflow")
pytestmark = [
    pytest.mark.slow,  # as a new database takes seconds
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
CONFIG = {"problem": "quadratic", "recipe": {"steps": 4, "init": ""}}


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def runs_in(store: str, experiment: str = "metadescent") -> list[Any]:
    """The runs of an experiment, without those that were deleted."""
    client = mlflow.MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def points_of(store: str, run: Any) -> dict[int, dict[str, float]]:
    """The numbers of a run by step and tag; one that is there twice is a failure."""
    points: dict[int, dict[str, float]] = {}
    for tag in run.data.metrics:
        for metric in mlflow.MlflowClient(store).get_metric_history(run.info.run_id, tag):
            at = points.setdefault(metric.step, {})
            assert tag not in at
            at[tag] = metric.value
    return points


def test_a_run_that_is_stopped_and_gone_on_with_is_one_run(
    small_run: Callable, logged: Callable, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    small_run(tmp_path, ["mlflow"], epochs=2)
    (run,) = runs_in(store)
    assert run.info.status == "KILLED"
    small_run(tmp_path, [], epochs=3)  # as if it had been killed before it was logged
    small_run(tmp_path, ["mlflow"])
    ((run, before),) = zip(runs_in(store), [run], strict=True)
    assert run.info.run_id == before.info.run_id
    assert (run.info.status, run.info.run_name) == ("FINISHED", tmp_path.name)
    assert points_of(store, run) == logged(tmp_path)
    assert run.data.params["problem"] == "quadratic(dimension=2)"
    assert run.data.params["steps"] == "4"


def test_an_epoch_that_is_trained_again_is_there_once(
    small_run: Callable, logged: Callable, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    small_run(tmp_path, ["mlflow"], epochs=3)
    (before,) = runs_in(store)
    checkpoints(tmp_path / "checkpoints")[-1].unlink()
    small_run(tmp_path, ["mlflow"])
    (run,) = runs_in(store)
    assert run.info.run_id != before.info.run_id
    assert points_of(store, run) == logged(tmp_path)


def test_numbers_are_those_that_are_finite_and_choices_may_change(tmp_path: Path) -> None:
    store, logger = f"sqlite:///{tmp_path}/mlflow.db", MLflow("mine")
    logger.begin(tmp_path, CONFIG, [])
    line = {"epoch": 1, "a": 0.1 + 0.2, "b": math.nan, "c": None, "d": [math.inf, 1e-300]}
    logger.log({**line, "seconds": 1.0})
    logger.end("failed")
    (run,) = runs_in(store, "mine")
    assert run.info.status == "FAILED"
    assert points_of(store, run) == {1: {"a": 0.1 + 0.2, "d/2": 1e-300, "seconds": 1.0}}
    logger.begin(tmp_path, CONFIG | {"recipe": {"steps": 8, "new": 1}}, [line])
    (run,) = runs_in(store, "mine")
    assert run.info.status == "RUNNING"
    # What a run was begun with, MLflow keeps.
    assert run.data.params == {"problem": "quadratic", "steps": "4", "init": "", "new": "1"}


def test_another_store_is_taken_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/theirs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    folder = tmp_path / "r"
    folder.mkdir()
    logger = MLflow()
    logger.begin(folder, CONFIG, [])
    logger.end("stopped")
    assert len(runs_in(store)) == 1
    assert [path.name for path in folder.iterdir()] == ["run-id"]
