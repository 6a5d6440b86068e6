"""The log for TensorBoard: the numbers of metrics.jsonl under their tags, or a sentence."""

import builtins
import json
import math
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metadescent.runs.events import event_log, scalars
from metadescent.runs.recipe import Recipe

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
TRAIN = ("train", "quadratic(dimension=2)", "--out", "r", "--tensorboard")


@pytest.fixture(scope="module")
def flags(trained: Callable, flags_of: Callable) -> list[str]:
    """The flags of runs whose programs have been compiled."""
    trained(RECIPE)
    return flags_of(RECIPE)


class Writer:
    """What stands in for tensorboardX.SummaryWriter; it notes what it is told."""

    told: list[Any]

    def __init__(self, logdir: str, purge_step: int) -> None:
        self.told = [("open", logdir, purge_step)]
        WRITERS.append(self)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.told.append((tag, value, step))

    def flush(self) -> None:
        self.told.append("flush")

    def close(self) -> None:
        self.told.append("close")


WRITERS: list[Writer] = []


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[Writer]:
    WRITERS.clear()
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=Writer))
    return WRITERS


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tensorboardX":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


def test_only_finite_numbers_are_scalars() -> None:
    line = {"a": 1, "b": math.nan, "c": None, "d": [1.0, math.inf, 3.0], "epoch": 4, "e": "text"}
    assert scalars(line) == {"a": 1.0, "d/1": 1.0, "d/3": 3.0}


def test_without_being_asked_nothing_is_written(absent: None, tmp_path: Path) -> None:
    with event_log(tmp_path, wanted=False) as log:
        log({"epoch": 1, "a": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_never_used_opens_nothing(writers: list[Writer], tmp_path: Path) -> None:
    with event_log(tmp_path):
        pass
    assert writers == []


def test_train_writes_what_metrics_has(
    flags: list[str], metadescent: Callable, writers: list[Writer]
) -> None:
    assert metadescent(*TRAIN, *flags)[0] == 0
    (writer,) = writers
    lines = [
        json.loads(line)
        for line in Path("r", "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    expected = [(n, v, line["epoch"]) for line in lines for n, v in scalars(line).items()]
    assert writer.told[0] == ("open", str(Path("r", "tensorboard")), 1)
    assert [told for told in writer.told[1:] if isinstance(told, tuple)] == expected
    assert {name for name, _, _ in expected} >= {
        *("validation_loss", "gradient_norms/1", "gradient_norms/2", "update_ratio", "hidden"),
        *("phi_step", "clipped", "saturated_hidden", "start", "training_end", "validation_end"),
    }
    assert writer.told[-1] == "close"


def test_the_file_has_every_scalar(tmp_path: Path) -> None:
    with event_log(tmp_path) as log:
        log({"epoch": 1, "loss": 0.5, "norms": [1.0, 2.0]})
    (file,) = (tmp_path / "tensorboard").iterdir()
    written = file.read_bytes()
    assert all(name in written for name in (b"loss", b"norms/1", b"norms/2"))
    assert struct.pack("<f", 0.5) in written


def test_where_it_is_not_installed_a_sentence_says_so_and_no_run_begins(
    flags: list[str], metadescent: Callable, absent: None
) -> None:
    status, out, said = metadescent(*TRAIN, *flags)
    assert (status, out) == (2, "")
    assert said.splitlines()[-1] == (
        "metadescent: --tensorboard needs tensorboardX, which is not installed; try "
        "pip install 'metadescent[tensorboard]', or read metrics.jsonl"
    )
    assert not Path("r", "config.json").exists()
