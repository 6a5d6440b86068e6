"""Values, names and sizes as a sentence bears them."""

import difflib
from collections.abc import Iterable


def short(value: object) -> str:
    """Return a value as Python writes it, on one line and no longer than a sentence bears.

    Example:
        >>> short("a" * 100)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean …?" for the closest known name, or the whole list.

    Example:
        >>> nearest("qadratic", ["quadratic", "mnist"])
        "did you mean 'quadratic'?"
    """
    known = sorted(known)
    if not known:
        return "none is known"
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_bytes(size: int | float) -> str:
    """Return a size to three digits.

    Example:
        >>> format_bytes(641728512), format_bytes(1000 * 2**20), format_bytes(7)
        ('612 MiB', '0.977 GiB', '7 B')
    """
    index = 0
    while size >= 999.5 and index < len(UNITS) - 1:
        size, index = size / 1024, index + 1
    return f"{size:.0f} {UNITS[index]}" if size >= 999.5 else f"{size:.3g} {UNITS[index]}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number to three significant digits, or a dash where there is none.

    Example:
        >>> number(0.04912), number(20.96), number(None)
        ('0.0491', '21', '–')
    """
    return "–" if value is None else f"{value:.{digits}g}"
