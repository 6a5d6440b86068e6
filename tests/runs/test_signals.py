"""Signals: a process ends soon; a training saves the epoch at hand first, if that ends soon."""

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
from metadescent.runs.signals import GRACE, Stopped, patient
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
        for context in (patient(), patient(print)):
            with context as patience:
                signal.raise_signal(signal.SIGINT)
                assert patience.number is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_first_is_handed_on_and_a_second_is_not() -> None:
    handed: list[int] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with patient(handed.append):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert handed == [signal.SIGINT]


KEPT = "; what was saved before is kept"
# What is compiled is a call in which Python sees no signal: the derivation of a key is one.
FOREVER = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)'
# Only within that call does the main thread let another one touch the file.
BUSY = f"""
import hashlib, pathlib, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent import cli
def parse(words):
    sys.setswitchinterval(1000)
    threading.Timer(0.1, pathlib.Path("begun").touch).start()
    {FOREVER}
cli._parse = parse
cli.program()
"""
# A command that is told at once, and then waits at exit for a program of XLA's that goes on.
AT_EXIT = f"""
import atexit, hashlib, pathlib, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent import cli
def wait():
    {FOREVER}
atexit.register(wait)
def parse(words):
    pathlib.Path("begun").touch()
    time.sleep(600)
cli._parse = parse
cli.program()
"""
# A finalizer, in which Python raises nothing: an interruption is dropped there.
FINALIZER = """
import pathlib, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent import cli
class Slow:
    def __del__(self):
        pathlib.Path("begun").touch()
        time.sleep(600)
def parse(words):
    Slow()
    time.sleep(600)
cli._parse = parse
cli.program()
"""
# A training whose second epoch is such a call, short or long.
SLOW = """
import hashlib, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from metadescent import cli
from metadescent.meta import train
real = train.run_epoch
def run_epoch(state, *args):
    if int(state.epoch) == 1:
        pathlib.Path("begun").touch()
        WAIT
    return real(state, *args)
train.run_epoch = run_epoch
cli.program()
"""


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
@pytest.mark.parametrize(("program", "also"), [(BUSY, KEPT), (AT_EXIT, ""), (FINALIZER, KEPT)])
def test_a_process_ends_within_two_seconds_whatever_it_is_at(
    number: signal.Signals, status: int, word: str, program: str, also: str, tmp_path: Path
) -> None:
    with begun(tmp_path, program) as process:
        process.send_signal(number)
        sent = time.monotonic()
        _, said = process.communicate(timeout=30)
    assert time.monotonic() - sent < GRACE + 1  # of which half a second is the machine's
    assert process.returncode == status
    assert said.splitlines() == [f"metadescent: {word}{also}"]


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


SAVED = "which is saved in run; go on with metadescent train --resume run"


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(
    ("wait", "epochs", "sentence"),
    [
        (
            "time.sleep(0.3)",
            2,
            " after epoch 2 of 4, which is saved in run; go on with metadescent train --resume run",
        ),
        (FOREVER, 1, "; what was saved before is kept"),
    ],
    ids=["short", "long"],
)
def test_a_training_keeps_the_epoch_at_hand_if_it_ends_soon_and_is_resumed(
    number: signal.Signals,
    status: int,
    word: str,
    wait: str,
    epochs: int,
    sentence: str,
    tmp_path: Path,
    metadescent: Callable,
    trained: Callable,
    flags_of: Callable,
) -> None:
    words = ["train", "quadratic(dimension=2)", "--out", "run", *flags_of(RECIPE)]
    with begun(tmp_path, SLOW.replace("WAIT", wait), *words) as process:
        process.send_signal(number)
        time.sleep(0.05)
        process.send_signal(number)  # whoever starts a program may send what its group gets as well
        sent = time.monotonic()
        _, said = process.communicate(timeout=120)
    assert time.monotonic() - sent < GRACE + 1
    assert process.returncode == status
    assert said.splitlines()[-1] == f"metadescent: {word}{sentence}"
    assert "Traceback" not in said
    assert [line["epoch"] for line in read_metrics(tmp_path / "run")] == [*range(1, epochs + 1)]
    assert int(finished_state(tmp_path / "run", plan_of(RECIPE)).epoch) == epochs
    assert zoo.load(tmp_path / "run")
    assert metadescent(*words, "--resume")[0] == 0
    assert numbers(tmp_path / "run") == numbers(trained(RECIPE)[0])
