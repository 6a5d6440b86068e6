"""metrics.csv has the numbers of metrics.jsonl, to the last bit."""

import csv
import math
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metadescent.runs.loggers.csv import CSV

LINES = [
    {"epoch": 1, "a": 0.1, "norms": [1.0, math.nan]},
    {"epoch": 2, "a": -math.inf, "norms": [1e-300, 2.0], "late": None},
    {"epoch": 3, "a": 1 / 3, "norms": [3.0, 4.0], "late": 5},
]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(folder: Path, earlier: list[Any], lines: list[Any]) -> list[dict[str, str]]:
    logger = CSV()
    logger.begin(folder, {}, earlier)
    for line in lines:
        logger.log(line)
    logger.end("finished")
    return rows_of(folder)


def test_a_row_an_epoch_and_a_column_a_number(tmp_path: Path) -> None:
    assert written(tmp_path, [], LINES) == [
        {"epoch": "1", "a": "0.1", "norms/1": "1.0", "norms/2": "nan", "late": ""},
        {"epoch": "2", "a": "-inf", "norms/1": "1e-300", "norms/2": "2.0", "late": ""},
        {"epoch": "3", "a": repr(1 / 3), "norms/1": "3.0", "norms/2": "4.0", "late": "5"},
    ]


def test_it_is_whole_after_each_epoch(tmp_path: Path) -> None:
    logger = CSV()
    logger.begin(tmp_path, {}, [])
    assert rows_of(tmp_path) == []
    for count, line in enumerate(LINES, 1):
        logger.log(line)
        assert len(rows_of(tmp_path)) == count


def test_epochs_that_are_trained_again_stand_there_once(tmp_path: Path) -> None:
    whole = written(tmp_path, [], LINES)
    # The last was lost, and the checkpoint of the one before it was damaged.
    assert written(tmp_path, LINES[:1], LINES[1:]) == whole
    assert written(tmp_path, [], []) == []


@given(st.floats())
def test_a_number_is_read_as_it_was(tmp_path_factory: Any, value: float) -> None:
    ((row),) = written(tmp_path_factory.mktemp("csv"), [], [{"epoch": 1, "a": value}])
    assert repr(float(row["a"])) == repr(value)
