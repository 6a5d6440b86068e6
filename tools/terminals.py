"""Terminals with odd widths and encodings: all output appears, and names are not broken."""

import io
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from metadescent.cli import main, streams
from metadescent.cli.command import commands
from metadescent.cli.console import output, table

ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16", "koi8-r", "shift_jis")
COLUMNS = ("", "0", "1", "7", "20", "40", "60", "80", "300", "9999", "-5", "many", " 80")
LETTERS = "abcXYZ019._-/[]{}()=,>*:'\" θφ∇→−×é漢😀"


@contextmanager
def terminal(chance: random.Random) -> Iterator[tuple[io.TextIOWrapper, str]]:
    """Be at a terminal of some width and encoding; yield its stream and what it is."""
    encoding, columns = chance.choice(ENCODINGS), chance.choice(COLUMNS)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with mock.patch.dict(os.environ, {"COLUMNS": columns}), redirect_stdout(stream):
        yield stream, f"{encoding}, {columns!r} columns"


def seen(stream: io.TextIOWrapper) -> str:
    """Return what came out of a stream."""
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(stream.encoding)


def help_of(place: Path, chance: random.Random) -> str:
    """Ask a command for its help."""
    del place
    words = [*chance.choice([[], *([name] for name in commands())]), "--help"]
    status, before, said = 0, signal.getsignal(signal.SIGTERM), io.StringIO()
    with terminal(chance) as (stream, what), redirect_stderr(said):
        try:
            main(words)
        except SystemExit as stop:
            status = stop.code
        finally:
            signal.signal(signal.SIGTERM, before)
    if (
        status
        or said.getvalue()
        or f"usage: {' '.join(['metadescent', *words[:-1]])}" not in seen(stream)
    ):
        return f"{what}: {words} ended with {status}, {said.getvalue()[:200]}"
    return ""


def table_of(place: Path, chance: random.Random) -> str:
    """Print a table of any texts; the names of its rows are whole where the encoding has them."""
    del place
    columns = [text(chance) for _ in range(chance.randrange(1, 9))]
    rows = [[text(chance) for _ in columns] for _ in range(chance.randrange(5))]
    prose = chance.sample(columns[1:], len(columns[1:]) // 2)
    with terminal(chance) as (stream, what), streams.written():
        output().print(table(text(chance), columns, rows, prose))
    shown = seen(stream)
    for name, *_ in rows:
        if name.strip() and name.isascii() and name.strip() not in shown:
            return f"{what}: the name {name!r} is broken"
    return ""


def text(chance: random.Random) -> str:
    """Return letters of many kinds."""
    return "".join(chance.choices(LETTERS, k=chance.choice((1, 5, 20, 60))))
