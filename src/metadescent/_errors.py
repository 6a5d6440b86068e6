"""The one exception whose message is meant for a person, and the checks that raise it."""

import math
import signal
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from metadescent._text import short


def require(name: str, value: Any, low: float | int, high: float | int = math.inf) -> None:
    """Raise a UserError unless `value` is a number in low … high; NaN is never."""
    # If the bound is a whole number, the value has to be one, too.
    whole = isinstance(low, int)
    number = _is_number(value, Integral if whole else Real)
    if not (number and low <= value <= high):
        bound = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        kind = "" if number else "a whole number, " if whole else "a number, "
        raise UserError(f"{name} is {short(value)} and must be {kind}{bound}")


def _is_number(value: object, kind: type) -> bool:
    # Python's True is an integer, but not a count.
    return isinstance(value, kind) and not isinstance(value, bool)


def require_kind(name: str, value: object, kind: type | tuple[type, ...], hint: str) -> None:
    """Raise a UserError unless `value` is of a kind; `hint` says what to give instead."""
    if not isinstance(value, kind):
        raise UserError(f"{name} is {short(value)} and must be {hint}")


def require_choice(kind: str, value: object, known: Iterable[str]) -> None:
    """Raise a UserError unless `value` is among those that are known."""
    known = list(known)
    if value not in known:
        raise UserError(f"there is no {kind} {short(value)}; known are {', '.join(known)}")


def require_sizes(name: str, sizes: object) -> None:
    """Raise a UserError unless `sizes` is a list or tuple of whole numbers from 1 on."""
    hint = f"a list or tuple of sizes; try ({sizes if isinstance(sizes, int) else 20},)"
    require_kind(name, sizes, Sequence, hint)
    # This is for the type checker; for anything else the line above has raised.
    if isinstance(sizes, Sequence):
        for size in sizes:
            require(name, size, 1)


class UserError(Exception):
    """Something that the caller can put right; its message says what, and how.

    The message is one sentence that names the thing, the value found and the value expected, and
    what to try. The command line prints it without a traceback and exits with status 2.

    Example:
        >>> raise UserError("horizon 90 is not a multiple of unroll 20; try 80 or 100")
        Traceback (most recent call last):
        metadescent.UserError: horizon 90 is not a multiple of unroll 20; try 80 or 100
    """

    status = 2
    """The exit status of the command line."""


class LostError(UserError):
    """Another process, which this one cannot do without, has ended; starting again may help."""

    # EX_TEMPFAIL, the system's status for what may work next time.
    status = 75


class NoReaderError(BaseException):
    """The reader of the output has gone, as `head` does, so there is nobody to tell."""

    status = 128 + getattr(signal, "SIGPIPE", 13)  # as of a program that SIGPIPE ends


# Tracebacks and doctests show them under the name that a user imports.
UserError.__module__ = LostError.__module__ = "metadescent"
