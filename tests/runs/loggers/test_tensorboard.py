"""Event files have the numbers of metrics.jsonl in single precision, each epoch once."""

import math
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorboardX")

from tensorboardX.proto.event_pb2 import Event, SessionLog

from metadescent.runs.log import read_metrics
from metadescent.runs.loggers.base import scalars
from metadescent.runs.loggers.tensorboard import TensorBoard
from metadescent.runs.recipe import Recipe

RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=2,
    episodes=2,
    validation_problems=2,
)

LINES = [
    {"epoch": e, "a": 0.1 * e, "b": math.nan, "c": None, "d": [1.0, math.inf], "seconds": 2.0 * e}
    for e in (1, 2, 3)
]


def events(folder: Path) -> list[Event]:
    """The events of a folder's files, in their order."""
    read = []
    for path in sorted((folder / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            # A record is its length, a checksum, itself, and a checksum.
            (length,) = struct.unpack("<Q", data[:8])
            read.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return read


def shown(folder: Path) -> list[tuple[str, int, float, float]]:
    """What TensorBoard shows: tag, step, value and time; a start purges what it begins before."""
    seen: list[tuple[str, int, float, float]] = []
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            seen = [point for point in seen if point[1] < event.step]
        for value in event.summary.value:
            seen.append((value.tag, event.step, value.simple_value, event.wall_time))
    return seen


def expected(lines: list[Any]) -> list[tuple[str, int, float]]:
    return [(t, m["epoch"], float(np.float32(v))) for m in lines for t, v in scalars(m).items()]


def write(folder: Path, earlier: list[Any], lines: list[Any]) -> None:
    logger = TensorBoard()
    logger.begin(folder, {}, earlier)
    for line in lines:
        logger.log(line)
    logger.end("finished")


def test_every_finite_number_is_written(tmp_path: Path) -> None:
    write(tmp_path, [], LINES)
    assert [point[:3] for point in shown(tmp_path)] == expected(LINES)
    assert {point[0] for point in shown(tmp_path)} == {"a", "d/1", "seconds"}


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_session_after_another_shows_each_epoch_once(kept: int, tmp_path: Path) -> None:
    write(tmp_path, [], LINES)
    # Two sessions that begin within a second would have one file.
    time.sleep(0 if kept else 1.01)
    write(tmp_path, LINES[:kept], LINES[kept:])
    assert [point[:3] for point in shown(tmp_path)] == expected(LINES)


def test_a_run_shows_what_its_metrics_have(trained: Callable, tmp_path: Path) -> None:
    lines = read_metrics(trained(RECIPE)[0])
    write(tmp_path, lines[:1], lines[1:])
    assert [point[:3] for point in shown(tmp_path)] == expected(lines)
    assert {point[0] for point in shown(tmp_path)} >= {
        *("validation_loss", "gradient_norms/1", "gradient_norms/2", "update_ratio", "hidden"),
        *("phi_step", "clipped", "saturated_hidden", "start", "training_end", "validation_end"),
    }


def test_the_axis_of_time_is_that_of_training(tmp_path: Path) -> None:
    write(tmp_path, LINES[:2], LINES[2:])
    times = [at for tag, _, _, at in shown(tmp_path) if tag == "a"]
    assert np.diff(times) == pytest.approx([2.0, 2.0])
    assert times[1] == pytest.approx(time.time(), abs=60)
