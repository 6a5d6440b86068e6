"""Signals: a training ends the epoch at hand first; a second signal ends it at once."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metadescent import zoo
from metadescent.runs.log import read_metrics
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import TOGETHER, Stopped, handed_on, patient
from metadescent.runs.training import finished_state

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


# What is compiled is a call in which Python sees no signal: the derivation of a key is one.
BUSY = """
import hashlib, pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent.runs.signals import patient
with patient():
    pathlib.Path("begun").touch()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # minutes
"""
# A training whose second epoch is such a call.
SLOW = """
import hashlib, pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent import cli
from metadescent.meta import train
real = train.run_epoch
def run_epoch(state, *args):
    if int(state.epoch) == 1:
        pathlib.Path("begun").touch()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)
    return real(state, *args)
train.run_epoch = run_epoch
cli.main()
"""
SAID = "metadescent: the epoch at hand is ended and saved first; a second signal ends all at once"


@contextmanager
def begun(folder: Path, program: str, *words: str) -> Iterator[subprocess.Popen]:
    """A process that is at what it does by now."""
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if (folder / "begun").exists():
                    break
                time.sleep(0.005)
            assert (folder / "begun").exists()
            yield process
        finally:
            process.kill()


@BOTH
def test_a_second_signal_ends_what_is_at_hand_at_once(
    number: signal.Signals, status: int, word: str, tmp_path: Path
) -> None:
    with begun(tmp_path, BUSY) as process:
        process.send_signal(number)
        time.sleep(TOGETHER + 0.2)
        assert process.poll() is None
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == status
    assert said.splitlines() == [SAID, f"metadescent: {word}"]


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


def numbers(folder: Path) -> list[dict[str, Any]]:
    """What a run has logged, but for its clock."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(folder)]


@pytest.mark.slow
@BOTH
def test_the_epoch_at_hand_is_kept_and_resumed(
    number: signal.Signals,
    status: int,
    word: str,
    tmp_path: Path,
    metadescent: Callable,
    trained: Callable,
    flags_of: Callable,
) -> None:
    words = ["train", "quadratic(dimension=2)", "--out", "run", *flags_of(RECIPE)]
    with begun(tmp_path, SLOW, *words) as process:
        process.send_signal(number)
        time.sleep(0.05)
        process.send_signal(number)  # whoever starts a program may send what its group gets as well
        _, said = process.communicate(timeout=120)
    assert process.returncode == status
    assert said.splitlines()[-1] == (
        f"metadescent: {word} after epoch 2 of 4, which is saved in run; go on with train --resume"
    )
    assert SAID in said.splitlines()
    assert "Traceback" not in said
    assert [line["epoch"] for line in read_metrics(tmp_path / "run")] == [1, 2]
    assert int(finished_state(tmp_path / "run", plan_of(RECIPE)).epoch) == 2
    assert zoo.load(tmp_path / "run")
    assert metadescent(*words, "--resume")[0] == 0
    assert numbers(tmp_path / "run") == numbers(trained(RECIPE)[0])
