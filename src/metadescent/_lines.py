"""Sentences on a terminal, in lines that end between words; elsewhere each is one line."""

import os
import re
import sys
import textwrap
from typing import Any

WHOLE = 10_000
"""The width of a line where nothing limits it."""


def filled(text: str, width: int, rest: str | None = None) -> str:
    """Return text in lines of at most `width` columns.

    `rest` begins every line but the first; without it they are indented as the first is. Words,
    names and paths are not broken, and a command in lines is still one command to a shell.
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
    """Return a command in lines that a shell reads as one; a flag stays with its value."""
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
    """Return the width of a stream's terminal, 0 if there is none or it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0


def width_of(stream: Any) -> int:
    """Return how many columns a line on a stream may have."""
    # A number of 0 in $COLUMNS, and from some terminals, means that the width is not known.
    columns = os.environ.get("COLUMNS", "")
    asked = int(columns) if columns.isdecimal() else 0
    # A program that reads from a pipe needs whole lines.
    return asked or ((columns_of(stream) or 80) if stream.isatty() else WHOLE)


def say(text: str) -> None:
    """Write sentences on the error stream."""
    stream = sys.stderr
    print(filled(text, width_of(stream)) if stream.isatty() else text, file=stream, flush=True)
