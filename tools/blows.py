"""A process that trains, and a fault (a blow) in one of its writes.

A full disk is an error in the N-th write: half-way, before the data is on the disk, or before the
file has its name. SIGKILL may come at the same places, and also after the file has its name.
Instead of a write, the N-th epoch may be hit: it then does not end, and Python sees no signal in
it.
"""

import errno
import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from metadescent import _files, cli
from metadescent.meta import train as training
from metadescent.runs.signals import Terminated, on_time, terminate

PROBLEM = "quadratic(dimension=2)"
EPOCHS = 80
FLAGS = (
    "--optimizer=lstm(layers=(2,),p=None,scale=1.0) --steps=4 --unroll=2 --problems=2 "
    f"--epochs={EPOCHS} --episodes=2 --validation-problems=2 --average=0.5"
).split()
STAGES = ("write", "fsync", "replace", "replaced")
EPOCH = "epoch"


class Blow(NamedTuple):
    """A fault in the N-th write of a process, at a stage of that write; or in its N-th epoch."""

    number: int
    stage: str
    deadly: bool


def train(folder: Path, blow: Blow | None, ready: Any, said: Path) -> None:
    """Train in a folder, with the output in a file; end with the command's exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = sys.stderr = said.open("w", encoding="utf-8", buffering=1)
    # What ends a process in haste is written to the descriptor itself.
    os.dup2(sys.stderr.fileno(), 2)
    if blow is not None and blow.stage == EPOCH:
        _hang(blow.number, begun(folder))
    elif blow is not None:
        _arm(blow)
    signal.signal(signal.SIGTERM, terminate)
    status: Any = 0
    try:
        try:
            ready.set()
            with on_time():
                cli.main(["train", PROBLEM, "--out", str(folder), "--resume", *FLAGS])
        except Terminated:
            status = 143
    except SystemExit as stop:
        status = stop.code or 0
    os._exit(status)


def hit(process: int | None, number: int) -> bool:
    """Send a process a signal; tell whether the process still existed."""
    # To the system, 0 would be this process and all that it began.
    if not process:
        return False
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def begun(folder: Path) -> Path:
    """Return the file that says that the epoch which does not end has begun."""
    return folder.with_name(f"{folder.name}.begun")


def _hang(number: int, begun: Path) -> None:
    """Let the N-th epoch of this process not end: a call into C, as a program of XLA's is."""
    count, real = -1, training.run_epoch

    def run_epoch(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            begun.touch()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
        return real(*args)

    training.run_epoch = run_epoch


def _arm(blow: Blow) -> None:
    """Let a blow fall in `_files.write_atomically`."""
    count, real = -1, {"fsync": os.fsync, "replace": os.replace}

    def fall() -> None:
        if blow.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def falls(stage: str) -> bool:
        return count == blow.number and stage == blow.stage

    class Half:
        def __init__(self, path: Any, mode: str) -> None:
            self.file = open(path, mode)  # noqa: SIM115

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: bytes) -> None:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            fall()

    def open_(path: Any, mode: str) -> Any:
        nonlocal count
        count += 1
        return Half(path, mode) if falls("write") else open(path, mode)

    def fsync(descriptor: int) -> None:
        if falls("fsync"):
            fall()
        real["fsync"](descriptor)

    def replace(source: Any, target: Any) -> None:
        ours = str(source).endswith(".tmp")
        if ours and falls("replace"):
            fall()
        real["replace"](source, target)
        if ours and falls("replaced"):
            fall()

    _files.open = open_  # type: ignore[attr-defined]
    os.fsync, os.replace = fsync, replace
