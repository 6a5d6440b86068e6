"""Progress and tables at the terminal; plain lines if the output is not a terminal."""

import io
import itertools
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.table import Table
from rich.text import Text

from metadescent._lines import WHOLE, columns_of, filled, width_of
from metadescent.cli.pace import Stopwatch, clock, paced

SECONDS_BETWEEN_LINES = 5.0
SHORT = 0.5
"""Compilation is mentioned only if it takes longer than so many seconds."""
LEAST_BAR = 6
"""Cells of the shortest bar."""
NOTEBOOK = 79
"""Cells of a line in a notebook."""
GAP = 3
"""Cells between two columns."""
PROSE = 24
"""Columns that prose gets at least."""


@runtime_checkable
class Reporter(Protocol):
    """Long work reports its progress to this."""

    def __call__(self, text: str, advance: int = 0, part: float | None = None) -> None:
        """Show `text`; `advance` more units of work are done, and a part of the next."""
        ...


class _Console(Console):
    """A console that breaks lines only between words: paths, names and commands stay whole."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; the terminal breaks lines that are still too long."""
        if not options.get("soft_wrap", self.soft_wrap):
            objects = tuple(map(self._filled, objects))
        super().print(*objects, **{"overflow": "ignore", "crop": False} | options)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Text):
            # A space becomes the end of a line, so that the positions of bold text do not change.
            value = value.copy()
            value.plain = filled(value.plain, self.width, rest="")
        return filled(value, self.width) if isinstance(value, str) else value


def output(errors: bool = False) -> Console:
    """Return the console for results or errors; it prints text and never markup."""
    stream = sys.stderr if errors else sys.stdout
    return _Console(
        stderr=errors,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
        width=width_of(stream),
    )


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Reporter]:
    """Show a bar with units done, time left and a text; lines if there is no terminal."""
    dumb = os.environ.get("TERM") in ("dumb", "unknown")
    with paced(total, done) as pace:
        if sys.stderr.isatty() and not dumb:
            bar = _Bar(title, pace)
            with Live(bar, console=output(errors=True), refresh_per_second=4) as live:
                yield pace.report
                live.refresh()
        # This is the stream of a notebook's kernel.
        elif type(sys.stderr).__module__.startswith("ipykernel"):
            with _overwritten(_Bar(title, pace)):
                yield pace.report
        else:
            lines = _Lines(title, pace)
            with _every(1.0, lines.tick):
                yield lines.report


@dataclass(frozen=True)
class _Bar:
    """A line that is never broken: if room is short, words are left out first, then the bar."""

    title: str
    pace: Stopwatch

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the line in its present state."""
        # The terminal may have become narrower.
        width = min(options.max_width, columns_of(sys.__stderr__) or WHOLE)
        yield self.line(width, plain=options.ascii_only)

    def line(self, width: int, plain: bool = False) -> Text:
        """Return title, bar, n/N, time and text, as far as there is room."""
        pace = self.pace
        total = str(pace.total)
        facts = f"{pace.done:>{len(total)}}/{total} {self._time()}"
        room = width - cell_len(facts) - 1
        line = Text(_shortened(self.title, room, " ", " …"), "cyan", no_wrap=True)
        room -= cell_len(line.plain)
        cells = max(LEAST_BAR, width // 6)
        if room > cells:
            room -= cells + 1
            filled = int(pace.share() * cells)
            line.append(" " + ("#" if plain else "━") * filled, "green")
            line.append(("-" if plain else "─") * (cells - filled), "dim")
        line.append(f" {facts}", "bold")
        text = pace.text
        if pace.compiling() > SHORT:
            # The time left is that of work alone.
            text = "compiling …" if pace.left() is None else "after compiling …"
        return line.append(f" {_shortened(text, room - 1)}".rstrip(), "not bold")

    def _time(self) -> str:
        if self.pace.done >= self.pace.total:
            return f"in {clock(self.pace.elapsed())}"
        left = self.pace.left()
        return clock(self.pace.elapsed()) if left is None else f"{clock(left)} left"


def _shortened(text: str, room: int, mark: str = ", ", end: str = "") -> str:
    """Return the clauses or words of a text that fit, with `end` if some do not."""
    parts = text.split(mark)
    for count in range(len(parts), 0, -1):
        kept = mark.join(parts[:count]) + end * (count < len(parts))
        if cell_len(kept) <= room:
            return kept
    return ""


@dataclass
class _Lines:
    """Progress without overwriting: a line now and then, and seldom in long work."""

    title: str
    pace: Stopwatch
    last: float = -math.inf

    def report(self, text: str, advance: int = 0, part: float | None = None) -> None:
        """Note what is done, and write it unless there was a line just now."""
        self.pace.report(text, advance, part)
        elapsed = self.pace.elapsed()
        # The last line is always written.
        if self.pace.done >= self.pace.total or elapsed - self.last >= max(
            SECONDS_BETWEEN_LINES, elapsed / 50
        ):
            self._write(text)

    def tick(self) -> None:
        """Write that work goes on, if nothing has been reported for long."""
        elapsed = self.pace.elapsed()
        if elapsed - max(0.0, self.last) < max(2 * SECONDS_BETWEEN_LINES, elapsed / 10):
            return
        seconds = self.pace.compiling()
        following = f"{self.pace.done + 1}/{self.pace.total}"
        self._write(
            f"compiling for {clock(seconds)}"
            if seconds > SHORT
            else f"at {following} for {clock(self.pace.waited())}"
        )

    def _write(self, text: str) -> None:
        pace = self.pace
        # The length of a compilation is not known, so no time left is shown with it.
        left = None if pace.compiling() > SHORT else pace.left()
        self.last = pace.elapsed()
        remaining = "" if left is None else f", {clock(left)} left"
        print(
            f"{self.title} {pace.done}/{pace.total}{remaining}: {text}\n",
            file=sys.stderr,
            end="",
            flush=True,
        )


@contextmanager
def _overwritten(bar: _Bar) -> Iterator[None]:
    """Write a bar over itself again and again; other output goes on lines of its own."""
    stream = sys.stderr

    def draw() -> None:
        # If escape codes are not known, blanks cover the previous text.
        stream.write("\r" + bar.line(NOTEBOOK).plain.ljust(NOTEBOOK))
        stream.flush()

    with redirect_stderr(_Below(stream)), _every(0.5, draw):
        yield
    draw()
    stream.write("\n")


class _Below(io.TextIOBase):
    """A stream whose present line holds a bar; text begins on the next line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, below the bar if it is not the rest of a line."""
        self._stream.write(text if text == "\n" else f"\n{text}")
        return len(text)


@contextmanager
def _every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call a function repeatedly, in a thread, until the context ends."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            call()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[str] = ()
) -> "Grid":
    """Return a table with names on the left and figures on the right; `text` columns are prose."""
    return Grid(title, columns, rows, text)


@dataclass(frozen=True)
class Grid:
    """A table whose names and figures are never broken; columns without room are left out."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """Yield the title, as many columns as fit (at least two), and the names of the others."""
        yield Text(filled(self.title, options.max_width), "italic")
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
            text = f"Left out, for want of room: {', '.join(left_out)}."
            yield Text(filled(text, options.max_width))

    def _width(self, index: int) -> int:
        """Return the cells that a column needs, with the gap to the next one."""
        column = self.columns[index]
        cells = max(map(cell_len, [column, *(row[index] for row in self.rows)]))
        return GAP + (min(cells, PROSE) if column in self.text else cells)
