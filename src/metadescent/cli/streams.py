"""A standard output that is full, closed or no longer read, reported as other programs do."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from metadescent._errors import NoReaderError, UserError


@contextmanager
def written() -> Iterator[None]:
    """Make sure that what the context prints is written, or raise an error that says why not."""
    open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # A letter that the encoding lacks must not cost the rest of the text.
        with suppress(AttributeError):
            cast(Any, stream).reconfigure(errors=_plain.__name__)
    before = sys.stdout
    sys.stdout = watched = cast(Any, _Watched(before))
    try:
        try:
            yield
        except SystemExit as stop:
            if not stop.code:  # help was asked for and printed
                watched.flush()
            raise
        watched.flush()
    finally:
        sys.stdout = before


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return substitutes for letters that an encoding lacks: - for a dash, ? for θ."""
    letters = cast(UnicodeEncodeError, error)
    lacking = letters.object[letters.start : letters.end]
    return "".join(_PLAIN.get(letter, "?") for letter in lacking), letters.end


_PLAIN = {"–": "-", "−": "-", "×": "x", "÷": "/", "…": "..."}
codecs.register_error(_plain.__name__, _plain)


class _Watched:
    """A stream whose errors are told from errors of other files."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._told():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Otherwise Python would try again when it exits, and print an error of its own.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if isinstance(error, BrokenPipeError):
                raise NoReaderError from error
            raise UserError(
                f"cannot write the standard output: {error.strerror}; send it to another place"
            ) from error


def open_what_is_closed() -> None:
    """Reserve the numbers of closed standard streams, so that no other file is opened as one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The standard output gets a file that cannot be written, so that a loss is noticed.
            os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
