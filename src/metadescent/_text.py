"""Values, names and sizes, written for a sentence."""

import difflib
from collections.abc import Iterable, Sequence


def short(value: object) -> str:
    """Return a value as Python writes it, on one line, and cut if it is too long for a sentence."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean …?" for the closest known name, or the whole list."""
    known = sorted(known)
    if not known:
        return "none is known"
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_bytes(size: int | float) -> str:
    """Return a size to three digits."""
    # A fourth digit is avoided: 1000 MiB is 0.977 GiB.
    index = 0
    while size >= 999.5 and index < len(UNITS) - 1:
        size, index = size / 1024, index + 1
    return f"{size:.0f} {UNITS[index]}" if size >= 999.5 else f"{size:.3g} {UNITS[index]}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number to three significant digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; a | within a cell does not end the cell."""
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
