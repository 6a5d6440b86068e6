"""The numbers that loggers write: those of metrics.jsonl, each under a tag."""

import math

import pytest

from metadescent.runs.loggers.base import Logger, cells, scalars

METRICS = {"epoch": 4, "a": 1, "b": math.nan, "c": None, "d": [1.0, math.inf, 3.0]}


def test_a_list_has_a_tag_for_each_of_its_numbers() -> None:
    tags = cells(METRICS)
    assert list(tags) == ["epoch", "a", "b", "c", "d/1", "d/2", "d/3"]
    assert [tags[f"d/{k}"] for k in (1, 2, 3)] == METRICS["d"]


def test_only_finite_numbers_are_scalars() -> None:
    assert scalars(METRICS) == {"a": 1.0, "d/1": 1.0, "d/3": 3.0}


def test_a_logger_has_all_three_calls() -> None:
    class Half(Logger):
        def log(self, metrics):
            del metrics

    with pytest.raises(TypeError, match="begin"):
        Half()  # pyright: ignore
