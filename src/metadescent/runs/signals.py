"""SIGINT and SIGTERM: they end a command at once, and a training after the epoch at hand."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WORDS = {signal.SIGINT: "stopped", signal.SIGTERM: "terminated"}
TOGETHER = 1.0
"""Seconds in which two signals are one: `timeout` and others send what the group gets, too."""


class Terminated(BaseException):
    """SIGTERM arrived."""

    status = 128 + signal.SIGTERM


class Stopped(BaseException):
    """A signal arrived, and what was at hand has been ended and saved since."""

    def __init__(self, number: int, what: str) -> None:
        """Say which signal, and what has become of the work."""
        super().__init__(f"{WORDS[signal.Signals(number)]} {what}")
        self.status = 128 + number


def terminate(signum: int, frame: Any) -> None:
    """Raise `Terminated`: the handler of SIGTERM, as Python's own of SIGINT raises an exception."""
    raise Terminated


class Patience:
    """Whether a signal has asked for the end."""

    number: int | None = None

    def check(self, what: str) -> None:
        """Raise `Stopped` if a signal has arrived; `what` says what has become of the work."""
        if self.number is not None:
            raise Stopped(self.number, what)


@contextmanager
def patient() -> Iterator[Patience]:
    """Until the context ends, have the first SIGINT or SIGTERM noted, and a second end the process.

    Python sees a signal between two of its own instructions only, and an epoch is one. So a thread
    that the system wakes says at once that the first has come, and ends the process at the second:
    all that is written is whole or not there. Where a signal is ignored, it stays so.
    """
    patience = Patience()

    def note(signum: int, frame: Any) -> None:
        # The first stays: a second says nothing new of why.
        patience.number = patience.number or signum

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # as the system asks of a descriptor that a signal writes to
    watch = threading.Thread(target=_watch, args=(ours,), daemon=True)
    watch.start()
    # The system writes the number of each signal to `theirs`, whatever Python is at.
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        with _handled_by(note):
            yield patience
    finally:
        signal.set_wakeup_fd(wakeup)
        theirs.close()
        watch.join()
        ours.close()


@contextmanager
def handed_on(hand: Callable[[int], object]) -> Iterator[Patience]:
    """Until the context ends, hand the first SIGINT or SIGTERM on; a second does as before."""
    patience = Patience()
    first = 0.0

    def note(signum: int, frame: Any) -> None:
        nonlocal first
        if patience.number is None:
            first, patience.number = time.monotonic(), signum
            hand(signum)
        elif time.monotonic() - first > TOGETHER:
            # As if nothing had been noted.
            signal.signal(signum, before[signal.Signals(signum)])
            signal.raise_signal(signum)

    with _handled_by(note) as before:
        yield patience


@contextmanager
def _handled_by(handler: Callable[[int, Any], None]) -> Iterator[dict[signal.Signals, Any]]:
    """Handle the signals that are not ignored until the context ends; yield who did before."""
    handlers = {number: signal.getsignal(number) for number in WORDS}
    # None: a handler that was not set from Python, and could not be put back.
    before = {n: old for n, old in handlers.items() if old not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, handler)
        yield before
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _watch(signals: socket.socket) -> None:
    """Say that the first signal has come; end this process at a second."""
    first: float | None = None
    while numbers := signals.recv(1):
        number = numbers[0]
        if number not in WORDS:  # SIGCHLD, say
            continue
        if first is None:
            first = time.monotonic()
            print(
                "metadescent: the epoch at hand is ended and saved first; a second signal ends all "
                "at once",
                file=sys.stderr,
                flush=True,
            )
        elif time.monotonic() - first > TOGETHER:
            # A bar of progress hides the cursor. Nothing buffered: this is not the main thread.
            cursor = "\x1b[?25h\n" if os.isatty(2) else ""
            os.write(2, f"{cursor}metadescent: {WORDS[signal.Signals(number)]}\n".encode())
            os._exit(128 + number)
