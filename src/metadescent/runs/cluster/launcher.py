"""`train --processes N`: N processes of this machine train together under watch; no JAX.

Each process runs the same command with a seat of its own and a share of the cores. If one ends
early, the others are ended, because none can go on without it. All of them are then started again
with --resume, as often as allowed. If this process ends, so do they, because their standard input
is closed. A signal that is to end this process goes to process 0 first, which leads and has an
epoch to save.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from metadescent._errors import LostError, UserError
from metadescent._lines import say
from metadescent.runs.cluster.cores import kept_to, own_cores, share_of
from metadescent.runs.cluster.lifeline import LIFELINE
from metadescent.runs.signals import patient

SECONDS_BETWEEN_LOOKS = 0.02
TAIL = 4000  # bytes of a process's error output
FOR_GOOD = (2, 130, 143)
"""Statuses after which starting again is useless: those of `UserError`, Ctrl-C and SIGTERM."""


class Ended(NamedTuple):
    """The process that ended first, and how."""

    process: int
    status: int
    errors: str
    asked: int | None = None
    """The signal that had asked for the end, if one had."""

    def __str__(self) -> str:
        """Return which process ended, and how."""
        if self.status < 0:
            return f"process {self.process} was killed by {signal.Signals(-self.status).name}"
        return f"process {self.process} ended with status {self.status}"


def needs(processes: int, restarts: int) -> bool:
    """Tell whether a command is to be launched; raise a UserError where it cannot be."""
    if processes > 1 and os.name != "posix":
        raise UserError(f"--processes is {processes}, and this system has one only; leave it out")
    return processes > 0 or restarts > 0


def launch(words: Sequence[str], processes: int, restarts: int, resumption: str) -> int:
    """Run the words as so many processes; return the status. A LostError names a lost process."""
    words = list(words)
    while ended := _run(words, processes):
        if ended.asked:
            return 128 + ended.asked
        sys.stderr.write(ended.errors)
        if ended.status in FOR_GOOD:
            return ended.status
        # The signal came before the process had a handler, which would have set the status.
        if ended.status in (-signal.SIGINT, -signal.SIGTERM):
            return 128 - ended.status
        what = f"{ended}, and the others were ended" if processes > 1 else str(ended)
        if not restarts:
            raise LostError(
                f"{what}; what was saved is kept: go on with {resumption}, or let --restarts 3 do "
                "that"
            )
        restarts -= 1
        say(
            f"metadescent: {what}; starting again from the last checkpoint, which may happen "
            f"{restarts} times more"
        )
        words = [*words, *(["--resume"] if "--resume" not in words else [])]
    return 0


def _run(words: Sequence[str], processes: int) -> Ended | None:
    with (
        tempfile.TemporaryDirectory() as folder,
        _started(words, processes, Path(folder)) as children,
        patient(children[0].send_signal) as patience,
    ):
        while True:
            statuses = [child.poll() for child in children]
            failed = {i: status for i, status in enumerate(statuses) if status}
            if failed:
                # Processes that lose another fail too; the first cause is the one that was killed.
                index = min(failed, key=lambda i: (failed[i] not in (-9, -15), failed[i] > 0, i))
                errors = Path(folder, str(index)).read_bytes()[-TAIL:].decode(errors="replace")
                return Ended(index, failed[index], errors, patience.number)
            if all(status == 0 for status in statuses):
                return None
            time.sleep(SECONDS_BETWEEN_LOOKS)


@contextmanager
def _started(
    words: Sequence[str], processes: int, folder: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes with errors in files of a folder; kill those that are left in the end."""
    address = f"127.0.0.1:{_free_port()}"
    children: list[subprocess.Popen[bytes]] = []
    mine = own_cores()
    try:
        for index in range(processes):
            seat = [] if processes == 1 else _seat(address, processes, index)
            # A child inherits the cores that this process has when it starts the child.
            with (
                open(folder / str(index), "wb") as errors,
                kept_to(share_of(mine, processes, index), afterwards=mine),
            ):
                # Only process 0 prints; of another process only its error is shown, if it fails.
                child = subprocess.Popen(
                    [sys.executable, "-c", MAIN, *_passed_on(words), *seat],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL if index else None,
                    stderr=errors if index else None,
                    env={**os.environ, LIFELINE: "1"},
                    # Ctrl-C reaches this process alone, which passes it on to process 0.
                    start_new_session=True,
                )
            children.append(child)
        yield children
    finally:
        # They write each file at once or not at all, so nothing is lost.
        for child in children:
            child.kill()
        for child in children:
            child.wait()
            if child.stdin:
                child.stdin.close()


# Until the program can report Ctrl-C in a sentence, it ends without a message.
MAIN = """
from signal import SIG_DFL, SIG_IGN, SIGINT, getsignal, signal
before = getsignal(SIGINT)
signal(SIGINT, SIG_IGN if before is SIG_IGN else SIG_DFL)
from metadescent.cli import program
signal(SIGINT, before)
program()
"""


def _seat(address: str, processes: int, index: int) -> list[str]:
    """Return the flags that give a process its seat."""
    seat = {"coordinator": address, "processes": processes, "process-id": index}
    return [word for flag, value in seat.items() for word in (f"--{flag}", str(value))]


def _passed_on(words: Sequence[str]) -> list[str]:
    """Return the words without the flags that only this process reads."""
    kept: list[str] = []
    skip = False
    for word in words:
        name, equals, _ = word.partition("=")
        # `--processes 2` are two words, `--processes=2` is one.
        if skip or name.replace("_", "-") in ("--processes", "--restarts"):
            skip = not skip and not equals
            continue
        kept.append(word)
    return kept


def _free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]
