"""What a person sees at the terminal: progress and tables. Plain lines when it is no terminal."""

import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

SECONDS_BETWEEN_LINES = 5.0
WHOLE = 10_000
"""Columns where nothing says how many there are."""
GAP = 3
"""Cells between two columns."""
PROSE = 24
"""Columns that prose is given at least."""


@runtime_checkable
class Reporter(Protocol):
    """Where long work says how far it has come."""

    def __call__(self, text: str, advance: int = 0) -> None:
        """Show `text`, and that `advance` more units of work are done."""
        ...


class _Console(Console):
    """One that breaks lines between words alone: paths and names stay whole."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, where lines that are still too long are the terminal's to break."""
        super().print(*objects, **{"overflow": "ignore", "crop": False} | options)


def output(errors: bool = False) -> Console:
    """Return the console for results, or for errors: what is printed is text and never markup."""
    stream = sys.stderr if errors else sys.stdout
    terminal = stream.isatty()
    # Whoever reads from a pipe wants whole lines. $COLUMNS of 0 is none, and some terminals say 0.
    columns = os.environ.get("COLUMNS", "")
    asked = int(columns) if columns.isdecimal() else 0
    width = asked or (shutil.get_terminal_size().columns if terminal else WHOLE)
    return _Console(
        stderr=errors,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not terminal,
        width=width,
    )


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Reporter]:
    """Show a bar with units done, a text and the time left; lines when not on a terminal."""
    if sys.stderr.isatty():
        with _bar(title, total, done) as report:
            yield report
    else:
        yield _lines(title, total, done)


@contextmanager
def _bar(title: str, total: int, done: int) -> Iterator[Reporter]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=output(errors=True)) as bars:
        # The first unit of work is slow to come.
        task = bars.add_task(title, total=total, completed=done, text="compiling")

        def report(text: str, advance: int = 0) -> None:
            bars.update(task, advance=advance, text=text)

        yield report


def _lines(title: str, total: int, done: int) -> Reporter:
    begin, last = time.monotonic(), -SECONDS_BETWEEN_LINES
    # When the first unit was done, which took the time to compile too.
    first: tuple[float, int] | None = None

    def report(text: str, advance: int = 0) -> None:
        nonlocal done, last, first
        done += advance
        elapsed = time.monotonic() - begin
        if advance and first is None:
            first = elapsed, done
        # The last line is never left out.
        if done < total and elapsed - last < SECONDS_BETWEEN_LINES:
            return
        last = elapsed
        remaining = ""
        if first and done > first[1]:
            left = (elapsed - first[0]) / (done - first[1]) * (total - done)
            remaining = f", {left:.0f} s left"
        print(f"{title} {done}/{total}{remaining}: {text}", file=sys.stderr, flush=True)

    return report


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[str] = ()
) -> "Grid":
    """Return a table: names on the left, figures to the right; columns in `text` are prose."""
    return Grid(title, columns, rows, text)


@dataclass(frozen=True)
class Grid:
    """A table whose names and figures are never broken: what there is no room for is left out."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """Yield the title, as many columns as fit, two at least, and the names of the others."""
        yield Text(self.title, "italic")
        widths = list(itertools.accumulate(map(self._width, range(len(self.columns)))))
        fitting = sum(width <= options.max_width for width in widths)
        shown = min(max(2, fitting), len(widths))
        grid = Table(box=SIMPLE_HEAD, pad_edge=False)
        for index, column in enumerate(self.columns[:shown]):
            prose = column in self.text
            right = index > 0 and not prose
            grid.add_column(column, justify="right" if right else "left", no_wrap=not prose)
        for row in self.rows:
            grid.add_row(*row[:shown])
        yield from console.render(
            grid, options.update(width=max(options.max_width, widths[shown - 1]))
        )
        if left_out := self.columns[shown:]:
            yield Text(f"Left out, for want of room: {', '.join(left_out)}.")

    def _width(self, index: int) -> int:
        """Return how many cells a column takes at least, with what parts it from the next."""
        column = self.columns[index]
        cells = max(map(cell_len, [column, *(row[index] for row in self.rows)]))
        return GAP + (min(cells, PROSE) if column in self.text else cells)
