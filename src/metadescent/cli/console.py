"""What a person sees at the terminal: progress and tables. Plain lines when it is no terminal."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

SECONDS_BETWEEN_LINES = 5.0


@runtime_checkable
class Reporter(Protocol):
    """Where long work says how far it has come."""

    def __call__(self, text: str, advance: int = 0) -> None:
        """Show `text`, and that `advance` more units of work are done."""
        ...


def output() -> Console:
    """Return the console for results, on standard output."""
    # Whoever reads from a pipe wants whole lines.
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
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
) -> Table:
    """Return a table: names on the left, figures to the right; columns in `text` are prose."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        left = index == 0 or column in text
        result.add_column(
            column, justify="left" if left else "right", no_wrap=not left, overflow="fold"
        )
    for row in rows:
        result.add_row(*row)
    return result
