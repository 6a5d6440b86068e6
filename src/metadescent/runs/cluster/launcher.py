"""`train --processes N`: N processes of this machine that train together, watched over; no JAX.

Each is the same command with a seat of its own, and a share of the cores. Where one ends before its
time the others are ended, for none can go on without it; and, as often as allowed, all of them are
started again with --resume. If this process ends, so do they, as what they read from is closed.
A signal that is to end this process goes to process 0 first, which leads and has an epoch to save.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from metadescent._errors import LostError, UserError
from metadescent.runs.signals import handed_on

SECONDS_BETWEEN_LOOKS = 0.02
TAIL = 4000
LIFELINE = "METADESCENT_LIFELINE"
FOR_GOOD = (2, 130, 143)
"""Statuses that say that starting again is no use: those of `UserError`, Ctrl-C and SIGTERM."""


class Ended(NamedTuple):
    """The process that ended first, and how."""

    process: int
    status: int
    errors: str
    asked: int | None = None
    """The signal that had asked for the end."""

    def __str__(self) -> str:
        """Say so."""
        if self.status < 0:
            return f"process {self.process} was killed by {signal.Signals(-self.status).name}"
        return f"process {self.process} ended with status {self.status}"


def launch(words: Sequence[str], processes: int, restarts: int) -> int:
    """Run a command as so many processes; return the exit status.

    Arguments:
        words: what comes after `metadescent`.
        processes: how many.
        restarts: how often they may all be started again.

    Raises:
        LostError: if one of them was lost, and there are no restarts left; says which and how.

    Example:
        A command that is wrong is not started again, however often that may be:

        >>> launch(["descend"], processes=1, restarts=3)
        2
    """
    words = list(words)
    while ended := _run(words, processes):
        if ended.asked:
            return 128 + ended.asked
        sys.stderr.write(ended.errors)
        if ended.status in FOR_GOOD:
            return ended.status
        if ended.status in (-signal.SIGINT, -signal.SIGTERM):
            return 128 - ended.status
        what = f"{ended}, and the others were ended" if processes > 1 else str(ended)
        if not restarts:
            raise LostError(
                f"{what}; what was saved is kept: go on with --resume, or let --restarts 3 do that"
            )
        restarts -= 1
        again = f"starting again from the last checkpoint, which may happen {restarts} times more"
        print(f"metadescent: {what}; {again}", file=sys.stderr, flush=True)
        words = [*words, *(["--resume"] if "--resume" not in words else [])]
    return 0


def _run(words: Sequence[str], processes: int) -> Ended | None:
    with (
        tempfile.TemporaryDirectory() as folder,
        _started(words, processes, Path(folder)) as children,
        handed_on(children[0].send_signal) as patience,
    ):
        while True:
            found = [child.poll() for child in children]
            ended = {i: status for i, status in enumerate(found) if status}
            if ended:
                # A process that loses another one fails too: the first cause is what was killed.
                index = min(ended, key=lambda i: (ended[i] not in (-9, -15), ended[i] > 0, i))
                errors = _end_of(_errors(Path(folder), index))
                return Ended(index, ended[index], errors, patience.number)
            if all(status == 0 for status in found):
                return None
            time.sleep(SECONDS_BETWEEN_LOOKS)


@contextmanager
def _started(
    words: Sequence[str], processes: int, folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes, whose errors go to a folder; kill what is left of them in the end."""
    address = f"127.0.0.1:{_free_port()}"
    children: list[subprocess.Popen[bytes]] = []
    mine = cores()
    try:
        for index in range(processes):
            seat = [] if processes == 1 else _seat(address, processes, index)
            with (
                open(_errors(folder, index), "wb") as errors,
                _limited_to(share(mine, processes, index), mine),
            ):
                # Process 0 alone is seen; of the others, what one says when it fails.
                child = subprocess.Popen(
                    [sys.executable, "-c", MAIN, *_alone(words), *seat],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL if index else None,
                    stderr=errors if index else None,
                    env={**os.environ, LIFELINE: "1"},
                    start_new_session=True,
                )
            children.append(child)
        yield children
    finally:
        # All that they write is written at once or not at all, so nothing is lost by this.
        for child in children:
            child.kill()
        for child in children:
            child.wait()
            if child.stdin:
                child.stdin.close()


# Until there is someone to say so in a sentence, Ctrl-C ends it without a word.
MAIN = """
from signal import SIG_DFL, SIG_IGN, SIGINT, getsignal, signal
before = getsignal(SIGINT)
signal(SIGINT, SIG_IGN if before is SIG_IGN else SIG_DFL)
from metadescent.cli import main
signal(SIGINT, before)
main()
"""


def _seat(address: str, processes: int, index: int) -> list[str]:
    seat = {"coordinator": address, "processes": processes, "process-id": index}
    return [word for flag, value in seat.items() for word in (f"--{flag}", str(value))]


def _alone(words: Sequence[str]) -> list[str]:
    """Return the words without those flags that are for this process."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, equals, _ = word.partition("=")
        if skip or name.replace("_", "-") in ("--processes", "--restarts"):
            skip = not skip and not equals
            continue
        kept.append(word)
    return kept


def share(cores: Sequence[int], processes: int, index: int) -> list[int]:
    """Return the cores of one of several processes; where there are too few, all of them.

    Example:
        >>> share([0, 1, 2, 3, 4], 2, 0), share([0, 1, 2, 3, 4], 2, 1), share([0], 2, 1)
        ([0, 1], [2, 3, 4], [0])
    """
    if len(cores) < processes:
        return list(cores)
    begin, end = (len(cores) * i // processes for i in (index, index + 1))
    return list(cores[begin:end])


def cores() -> list[int]:
    """Return the cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to(some: Sequence[int]) -> None:
    """Let this process, and those that it starts, use some cores only, where that can be done."""
    if some and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, some)


@contextmanager
def _limited_to(some: Sequence[int], mine: Sequence[int]) -> Iterator[None]:
    keep_to(some)
    try:
        yield
    finally:
        keep_to(mine)


def hang_on() -> None:
    """End this process when the one that launched it ends, if it was launched."""
    if os.environ.pop(LIFELINE, None):
        threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(LostError.status)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _errors(folder: Path, index: int) -> Path:
    return folder / f"process-{index}"


def _end_of(file: Path) -> str:
    return file.read_bytes()[-TAIL:].decode(errors="replace")


def needs(processes: int, restarts: int) -> bool:
    """Tell whether a command is to be launched; raise a UserError where it cannot be."""
    if processes > 1 and os.name != "posix":
        raise UserError(f"--processes is {processes}, and this system has one only; leave it out")
    return processes > 0 or restarts > 0
