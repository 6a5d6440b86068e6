"""Pieces of the bench: each is done once, and a file of results is of the bench or left alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from metadescent import save
from metadescent.bench.task import Task
from metadescent.optimizers.rnnprop import RNNProp
from metadescent.runs import benchings
from metadescent.runs.benching import Benching, check_horizon, run_benching, score_from, tasks_named
from metadescent.runs.benchings import run_benchings
from metadescent.runs.cluster.executors import engine_of


def work(optimizer: str, folder: Path) -> Benching:
    return Benching(optimizer, "parabola", 50, 2, 0, None, str(folder))


@pytest.mark.slow
def test_a_hand_designed_one_has_the_best_of_its_rates(
    tasks: dict[str, Task], tmp_path: Path
) -> None:
    result = run_benching(work("nag", tmp_path))
    score = score_from(result)
    # On a parabola with one curvature momentum beats steps of one length.
    assert score.speed_up > 1
    assert score.beats_default
    assert 1e-4 < float(result["rate"]) < 10
    json.dumps(result, allow_nan=False)


def test_what_a_file_has_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    done: list[str] = []

    def run(piece: Benching) -> dict[str, Any]:
        done.append(piece.task)
        return {"score": {"speed_up": float(len(done))}}

    monkeypatch.setattr(benchings, "run_benching", run)
    m, path = tmp_path / "m.safetensors", tmp_path / "scores.json"
    save(m, RNNProp(key=key))
    asked = [Benching(str(m), task, 50, 2, 0, None, None) for task in "ab"]
    first = run_benchings(asked[:1], engine_of(), path)
    both = run_benchings(asked, engine_of(), path)
    assert done == ["a", "b"]
    assert both[0] == first[0]
    # Another optimizer by the same name is another one.
    save(m, RNNProp(scale=0.5, key=key))
    run_benchings(asked, engine_of(), path)
    assert done == ["a", "b", "a", "b"]


@pytest.mark.parametrize("text", ["{}", "[]", "no", '{"results": [1]}', '{"results": [{}]}'])
def test_a_file_of_something_else_is_left_alone(text: str, tmp_path: Path, sentence) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    said = sentence(run_benchings, [], engine_of(), path)
    assert said == f"{path} is there and has no scores of metadescent bench; choose another file"
    assert path.read_text() == text


def test_a_horizon_has_all_points(sentence) -> None:
    check_horizon(500)
    said = "is not a multiple of 50, at which losses are taken"
    assert sentence(check_horizon, 120) == f"a horizon of 120 steps {said}; try 100"
    assert sentence(check_horizon, 3) == f"a horizon of 3 steps {said}; try 50"


def test_tasks_are_named_by_name_or_kind(tasks: dict[str, Task], sentence) -> None:
    assert tasks_named("parabola,physics,all") == ["parabola"]
    assert sentence(tasks_named, "parabol").startswith(
        "there is no task 'parabol'; did you mean 'parabola'?"
    )
    assert sentence(tasks_named, ",") == "no task is named; try --tasks all"
