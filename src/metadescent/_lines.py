"""Sentences on a terminal, in lines that end between words; elsewhere each is one line."""

import os
import re
import sys
import textwrap
from typing import Any

WHOLE = 10_000
"""Columns where nothing says how many there are."""


def filled(text: str, width: int, rest: str | None = None) -> str:
    """Return lines of so many columns, all but the first of which begin with `rest`, or as it does.

    Words, names and paths are whole, and a shell still reads a line that is a command as one.
    """
    lines = text.split("\n")
    for i, line in enumerate(lines):
        words = line.lstrip()
        begin = line[: len(line) - len(words)]
        if len(line) <= width:
            continue
        if words.startswith("metadescent "):
            lines[i] = continued(line, width)
        else:
            lines[i] = textwrap.fill(
                words,
                max(1, width),
                initial_indent=begin,
                subsequent_indent=begin if rest is None else rest,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def continued(command: str, width: int) -> str:
    """Return a command in lines that a shell reads as one; flags are with their values."""
    begin = command[: len(command) - len(command.lstrip())]
    first, *words = re.findall(r"""(?:--[\w-]+ (?=[^-\s]))?(?:'[^']*'|"[^"]*"|\S)+""", command)
    lines = [begin + first]
    for word in words:
        if len(lines[-1]) + len(word) + len(" \\ ") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{begin}    {word}")
    return " \\\n".join(lines)


def columns_of(stream: Any) -> int:
    """Return how wide the terminal of a stream is, 0 if it has none that knows."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0


def width_of(stream: Any) -> int:
    """Return how many columns what is written to a stream has."""
    # $COLUMNS of 0 is none, and some terminals say 0.
    columns = os.environ.get("COLUMNS", "")
    asked = int(columns) if columns.isdecimal() else 0
    # Whoever reads from a pipe wants whole lines.
    return asked or ((columns_of(stream) or 80) if stream.isatty() else WHOLE)


def say(text: str) -> None:
    """Write sentences on the error stream."""
    stream = sys.stderr
    print(filled(text, width_of(stream)) if stream.isatty() else text, file=stream, flush=True)
