"""SIGINT and SIGTERM end a process within two seconds; a training saves its epoch if it can."""

import functools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

WORDS = {signal.SIGINT: "stopped", signal.SIGTERM: "terminated"}
GRACE = 1.5
"""Seconds after a signal in which the current work may end by itself."""


class Terminated(BaseException):
    """SIGTERM arrived."""

    status = 128 + signal.SIGTERM


class Stopped(BaseException):
    """A signal arrived, and since then the current work has been ended and saved."""

    def __init__(self, number: int, what: str) -> None:
        """Take the signal, and a text on the state of the work."""
        super().__init__(f"{WORDS[signal.Signals(number)]} {what}")
        self.status = 128 + number


def terminate(signum: int, frame: Any) -> None:
    """Raise `Terminated`: a handler of SIGTERM, similar to Python's own handler of SIGINT."""
    raise Terminated


@contextmanager
def on_time() -> Iterator[None]:
    """Have this process end within GRACE seconds of SIGINT or SIGTERM, whatever it does.

    Python sees a signal only between two of its own instructions. A program of XLA is a single one,
    and at exit JAX waits for it. So the system wakes a thread that counts the seconds, and exit
    hooks are left out, because files are always whole or absent. An ignored signal stays ignored.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # the system requires this of a descriptor that a signal writes to
    # The thread holds both ends, because they are needed until after the exit hooks.
    threading.Thread(target=_watch, args=(ours, theirs), daemon=True).start()
    # The system writes the number of each signal to `theirs`, whatever Python does.
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    sys.unraisablehook = functools.partial(_unraisable, sys.unraisablehook)
    try:
        yield
    except SystemExit as end:
        if end.code in [128 + number for number in WORDS]:
            for stream in (sys.stdout, sys.stderr):
                # The reader may have gone.
                with suppress(OSError):
                    stream.flush()
            os._exit(end.code)
        raise


def _unraisable(say: Callable[[Any], object], unraisable: Any) -> None:
    """Report what Python could not raise, except for a signal, after which the thread ends it."""
    # The signal may arrive within a finalizer, or a callback of garbage collection such as JAX's.
    if not issubclass(unraisable.exc_type, KeyboardInterrupt | Terminated):
        say(unraisable)


def _watch(signals: socket.socket, _: socket.socket) -> None:
    """Note the first signal; end this process GRACE seconds later."""
    # Other signals, such as SIGCHLD, do not end a process.
    while (number := signals.recv(1)[0]) not in WORDS:
        pass
    time.sleep(GRACE)
    # A progress bar hides the cursor. Output is not buffered, as this is not the main thread.
    cursor = "\x1b[?25h\n" if os.isatty(2) else ""
    word = WORDS[signal.Signals(number)]
    os.write(2, f"{cursor}metadescent: {word}; what was saved before is kept\n".encode())
    os._exit(128 + number)


class Patience:
    """Knows whether a signal has asked for the end."""

    number: int | None = None

    def check(self, what: str) -> None:
        """Raise `Stopped` if a signal has arrived; `what` says how the work stands."""
        if self.number is not None:
            raise Stopped(self.number, what)


@contextmanager
def patient(hand: Callable[[int], object] = lambda number: None) -> Iterator[Patience]:
    """Until the context ends, note SIGINT and SIGTERM, and pass the first of them on."""
    patience = Patience()

    def note(signum: int, frame: Any) -> None:
        # A second signal changes nothing.
        if patience.number is None:
            patience.number = signum
            hand(signum)

    with _handled_by(note):
        yield patience


@contextmanager
def _handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle the signals that are not ignored until the context ends."""
    handlers = {number: signal.getsignal(number) for number in WORDS}
    # None stands for a handler that was not set from Python and could not be restored.
    before = {n: old for n, old in handlers.items() if old not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
