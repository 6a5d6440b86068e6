"""The one exception whose message is meant for a person, and the checks that raise it."""

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

from metadescent._text import short


def require(name: str, value: Any, low: float | int, high: float | int = math.inf) -> None:
    """Raise a UserError unless `value` is a number in low … high; NaN is never.

    Where `low` is a whole number of Python's, an int, `value` has to be one too.

    Example:
        >>> require("epochs", 0, 1)
        Traceback (most recent call last):
        metadescent.UserError: epochs is 0 and must be at least 1
    """
    whole = isinstance(low, int)
    number = _is_number(value, Integral if whole else Real)
    if not (number and low <= value <= high):
        bound = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        kind = "" if number else "a whole number, " if whole else "a number, "
        raise UserError(f"{name} is {short(value)} and must be {kind}{bound}")


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def require_kind(name: str, value: object, kind: type | tuple[type, ...], hint: str) -> None:
    """Raise a UserError unless `value` is of a kind; `hint` says what is, and what to try.

    Example:
        >>> require_kind("loss", 3, str, "a text; try 'mean'")
        Traceback (most recent call last):
        metadescent.UserError: loss is 3 and must be a text; try 'mean'
    """
    if not isinstance(value, kind):
        raise UserError(f"{name} is {short(value)} and must be {hint}")


def require_choice(kind: str, value: object, known: Iterable[str]) -> None:
    """Raise a UserError unless `value` is among those that are known.

    Example:
        >>> require_choice("decay", "linear", ["cosine", "constant"])
        Traceback (most recent call last):
        metadescent.UserError: there is no decay 'linear'; known are cosine, constant
    """
    known = list(known)
    if value not in known:
        raise UserError(f"there is no {kind} {short(value)}; known are {', '.join(known)}")


def require_sizes(name: str, sizes: object) -> None:
    """Raise a UserError unless `sizes` are several: a list or tuple of whole numbers from 1 on.

    Example:
        >>> require_sizes("hidden", 20)
        Traceback (most recent call last):
        metadescent.UserError: hidden is 20 and must be a list or tuple of sizes; try (20,)
    """
    hint = f"a list or tuple of sizes; try ({sizes if isinstance(sizes, int) else 20},)"
    require_kind(name, sizes, Sequence, hint)
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
    """Another process, without which there is no going on, has ended: to start again may help.

    The command line exits with status 75, the system's own word for what may work next time.

    Example:
        >>> LostError.status
        75
    """

    status = 75


# A traceback, and a doctest, call them what `import metadescent` does.
UserError.__module__ = LostError.__module__ = "metadescent"


# A traceback, and a doctest, call them what `import metadescent` does.
UserError.__module__ = LostError.__module__ = "metadescent"
