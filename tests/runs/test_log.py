"""What a run has logged: what is not what it should be is named, in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadescent.runs.log import read_metrics, read_stopped

LINE = {
    "epoch": 1,
    "meta_loss": 2.0,
    "gradient_norm": 1,
    "gradient_norms": [1.0, 0.5],
    "validation_loss": float("inf"),
    "best_loss": float("nan"),
    "hidden": None,
    "seconds": 0.5,
}


def test_what_is_well_is_returned(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(LINE)}\n" * 2)
    (tmp_path / "stopped.json").write_text('{"epoch": 2, "meta_step": 5}')
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1, 1]
    assert read_stopped(tmp_path) == {"epoch": 2, "meta_step": 5}


def test_what_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    assert read_stopped(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": None},
        {"epoch": 1.5},
        {"seconds": "1"},
        {"best_loss": [1.0]},
        {"gradient_norms": 3.0},
        {"gradient_norms": ["1"]},
        {"anything": {}},
        {"meta_loss": 10**400},
    ],
)
def test_a_damaged_line_is_named(
    tmp_path: Path, change: dict[str, Any], sentence: Callable
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n{json.dumps(LINE | change)}\n")
    assert sentence(read_metrics, tmp_path) == (
        f"line 2 of {path} is damaged: the numbers of an epoch are expected; remove it and all "
        "after it to read the rest, or restore the file"
    )


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"epoch": "x", "meta_step": 1}'])
def test_a_damaged_note_of_where_it_stopped_is_named(
    tmp_path: Path, text: str, sentence: Callable
) -> None:
    (tmp_path / "stopped.json").write_text(text)
    assert sentence(read_stopped, tmp_path) == (
        f"{tmp_path / 'stopped.json'} is damaged: whole numbers as epoch and meta_step are "
        "expected; remove it"
    )
