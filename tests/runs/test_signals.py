"""Signals: a training ends the epoch at hand first; a second signal ends it at once."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metadescent.runs.checkpoint import latest_epoch
from metadescent.runs.signals import TOGETHER, Stopped, handed_on, patient

BOTH = pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "stopped")],
)


@BOTH
def test_the_first_signal_is_noted_and_raised_when_asked(
    number: signal.Signals, status: int, word: str
) -> None:
    # Where tests run in the background it may be ignored.
    outside = signal.signal(number, signal.default_int_handler)
    try:
        with patient() as patience:
            patience.check("too early")
            signal.raise_signal(number)
            with pytest.raises(Stopped, match=f"^{word} after all$") as caught:
                patience.check("after all")
        assert caught.value.status == status
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, outside)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for context in (patient(), handed_on(print)):
            with context as patience:
                signal.raise_signal(signal.SIGINT)
                assert patience.number is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_first_is_handed_on_and_a_second_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[int] = []
    clock = iter([10.0, 10.0 + TOGETHER / 2, 10.0 + 2 * TOGETHER])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with handed_on(handed.append):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # the same, which came twice
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert handed == [signal.SIGINT]


# A training whose second epoch is slow and, as what is compiled, a call in which Python sees no
# signal: the derivation of a key is one.
SLOW = """
import hashlib, pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent import cli
from metadescent.cli import training
module = sys.modules["metadescent.meta.train"]
rounds, real = int(sys.argv.pop()), module.epoch
def epoch(state, *args):
    if int(state.epoch) == 1:
        pathlib.Path("begun").touch()
        hashlib.pbkdf2_hmac("sha256", b"", b"", rounds)
    return real(state, *args)
module.epoch = epoch
cli.main()
"""
FLAGS = ["--optimizer", "lstm(layers=(2,),p=None,scale=1.0)", "--steps", "4", "--unroll", "2"]
FLAGS += ["--problems", "2", "--epochs", "4", "--episodes", "2", "--validation-problems", "2"]


@contextmanager
def training(folder: Path, rounds: int) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", SLOW, "train", "quadratic(dimension=2)", "--out", "run"]
    words = [*command, *FLAGS, str(rounds)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            wait_until((folder / "begun").exists, process)
            yield process
        finally:
            process.kill()


def wait_until(reached: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not reached() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert reached()


def lines(folder: Path) -> list[int]:
    text = (folder / "run" / "metrics.jsonl").read_text()
    return [json.loads(line)["epoch"] for line in text.splitlines()]


@pytest.mark.slow
@BOTH
def test_the_epoch_at_hand_is_kept_and_resumed(
    number: signal.Signals, status: int, word: str, tmp_path: Path, metadescent: Callable
) -> None:
    with training(tmp_path, 3_000_000) as process:
        process.send_signal(number)
        time.sleep(0.05)
        process.send_signal(number)  # whoever starts a program may send what its group gets as well
        _, said = process.communicate(timeout=120)
    assert process.returncode == status
    assert said.splitlines()[-1] == (
        f"metadescent: {word} after epoch 2 of 4, which is saved in run; go on with train --resume"
    )
    first = (
        "metadescent: the epoch at hand is ended and saved first; a second signal ends all at once"
    )
    assert first in said.splitlines()
    assert lines(tmp_path) == [1, 2]
    assert latest_epoch(tmp_path / "run" / "checkpoints") == 2
    words = ["train", "quadratic(dimension=2)", "--out", "run", *FLAGS]
    assert metadescent(*words, "--resume")[0] == 0
    assert metadescent(*words[:3], "whole", *words[4:])[0] == 0
    numbers = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in text.splitlines()
        ]
        for text in ((tmp_path / run / "metrics.jsonl").read_text() for run in ("run", "whole"))
    ]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) == 4


@pytest.mark.slow
@BOTH
def test_a_second_signal_ends_the_epoch_at_hand_at_once(
    number: signal.Signals, status: int, word: str, tmp_path: Path
) -> None:
    with training(tmp_path, 2_000_000_000) as process:  # minutes
        process.send_signal(number)
        time.sleep(TOGETHER + 0.2)
        assert process.poll() is None
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert said.splitlines()[-1] == f"metadescent: {word}"
    assert lines(tmp_path) == [1]
