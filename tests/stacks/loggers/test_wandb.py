"""Weights & Biases itself, offline: each session's file has the whole run, under one id."""

import json
import math
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metadescent.runs.checkpoint import checkpoints
from metadescent.runs.loggers.service import run_id_of
from metadescent.runs.loggers.wandb import WandB

records = pytest.importorskip("wandb.proto.wandb_internal_pb2")

pytestmark = [
    pytest.mark.slow,  # as it starts a process
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path_factory.mktemp(name)))


def records_of(path: Path) -> Iterator[Any]:
    """The records of a file, which is a log of LevelDB's behind seven bytes."""
    data, at, record = path.read_bytes(), 7, b""
    while at < len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield records.Record.FromString(record)
            record = b""


def read(path: Path) -> tuple[Any, dict[int, dict[str, float]], int | None]:
    """What a session wrote: the run, its numbers by step and tag, and how it ended."""
    run, points, status = None, {}, None
    for record in records_of(path):
        match record.WhichOneof("record_type"):
            case "run":
                run = record.run
            case "exit":
                status = record.exit.exit_code
            case "history":
                items = {
                    "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                    for item in record.history.item
                }
                step = int(items["_step"])
                assert step not in points
                points[step] = {k: v for k, v in items.items() if not k.startswith("_")}
    return run, points, status


def whole(path: Path) -> tuple[Any, dict[int, dict[str, float]], int]:
    """What a session wrote, once its service, a process of its own, has written all."""
    deadline = time.monotonic() + 60
    while True:
        run, points, status = read(path)
        if status is not None:
            return run, points, status
        assert time.monotonic() < deadline
        time.sleep(0.2)


def sessions(folder: Path) -> list[tuple[Any, dict[int, dict[str, float]], int]]:
    """What each session wrote, one after the other."""
    paths = folder.glob("wandb/offline-run-*/*.wandb")
    return [whole(path) for path in sorted(paths, key=lambda path: path.parent.name)]


def test_a_run_that_is_stopped_and_gone_on_with_is_one_run(
    small_run: Callable, logged: Callable, tmp_path: Path
) -> None:
    small_run(tmp_path, ["wandb"], epochs=2)
    small_run(tmp_path, [], epochs=3)  # as if it had been killed before it was logged
    time.sleep(1.01)  # a session's folder is named by the second
    small_run(tmp_path, ["wandb"])
    (first, early, stopped), (second, late, finished) = sessions(tmp_path)
    assert first.run_id == second.run_id == run_id_of(tmp_path)
    assert (first.project, first.display_name) == ("metadescent", tmp_path.name)
    choices = {update.key: update.value_json for update in first.config.update}
    assert choices["problem"] == '"quadratic(dimension=2)"'
    assert choices["steps"] == "4"
    assert early == {epoch: logged(tmp_path)[epoch] for epoch in (1, 2)}
    assert late == logged(tmp_path)
    assert (stopped, finished) == (0, 0)


def test_an_epoch_that_is_trained_again_is_as_it_was_trained_last(
    small_run: Callable, logged: Callable, tmp_path: Path
) -> None:
    small_run(tmp_path, ["wandb"], epochs=3)
    checkpoints(tmp_path / "checkpoints")[-1].unlink()
    time.sleep(1.01)
    small_run(tmp_path, ["wandb"])
    assert sessions(tmp_path)[-1][1] == logged(tmp_path)


def test_numbers_are_those_that_are_finite(tmp_path: Path) -> None:
    logger = WandB("mine")
    logger.begin(tmp_path, {"problem": "quadratic", "recipe": {}}, [])
    logger.log({"epoch": 1, "a": 0.1 + 0.2, "b": math.nan, "c": None, "d": [math.inf, 1e-300]})
    logger.end("failed")
    ((run, points, status),) = sessions(tmp_path)
    assert (run.project, status) == ("mine", 1)
    assert points == {1: {"a": 0.1 + 0.2, "d/2": 1e-300}}


PROGRAM = """
import itertools
from pathlib import Path
from metadescent.runs.loggers.wandb import WandB
logger = WandB()
logger.begin(Path("r"), {"problem": "quadratic", "recipe": {}}, [])
for epoch in itertools.count(1):
    logger.log({"epoch": epoch, "a": epoch / 3})
    print(epoch, flush=True)
"""


def test_what_a_killed_process_had_not_written_the_next_session_writes(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    words = [sys.executable, "-c", PROGRAM]
    # With a service of its own, as in a terminal: that of this process would keep the run's number.
    env = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    options = {"cwd": tmp_path, "env": env, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **options) as process:
        assert process.stdout is not None
        epochs = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
    number = run_id_of(folder)
    time.sleep(1.01)
    logger, lines = WandB(), [{"epoch": epoch, "a": epoch / 3} for epoch in epochs]
    logger.begin(folder, {"problem": "quadratic", "recipe": {}}, lines[:-1])
    logger.log(lines[-1])
    logger.end("stopped")
    (path,) = folder.glob("wandb/latest-run/*.wandb")
    run, points, _ = whole(path)
    assert run.run_id == run_id_of(folder) == number
    assert points == {epoch: {"a": epoch / 3} for epoch in epochs}
