"""How far work has come, and how long the rest takes; compilation does not count for the rate."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

COMPILATION = "/jax/core/compile/"
"""The first part of JAX's events for tracing, lowering and compiling."""
ALMOST = 0.9
"""The largest share of a unit of work that is shown as done before it is reported."""


class Stopwatch:
    """Counts units of work that are done; its times are those of work, without compilation."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done, self.part, self.text = total, done, 0.0, ""
        self._begin = time.monotonic()
        # Compilations under way, the time at which they began, and the seconds of earlier ones.
        self._under_way: list[str] = []
        self._since, self._compiled = 0.0, 0.0
        # Amounts of work and their times: at first, after the first report, after the last report.
        self._marks = [(float(done), 0.0)]

    def report(self, text: str, advance: int = 0, part: float | None = None) -> None:
        """Note that `advance` more units are done, and a part of the next."""
        self.text = text
        self.done += advance
        self.part = part if part is not None else 0.0 if advance else self.part
        if (amount := self.done + self.part) > self._marks[-1][0]:
            self._marks = [*self._marks[:2], (amount, self._worked())]

    def elapsed(self) -> float:
        """Return the seconds since the beginning, with compilation."""
        return time.monotonic() - self._begin

    def compiling(self) -> float:
        """Return how many seconds the present compilation has taken, 0 if there is none."""
        return time.monotonic() - self._since if self._under_way else 0.0

    def waited(self) -> float:
        """Return the seconds of work since the last report of progress."""
        return self._worked() - self._marks[-1][1]

    def left(self) -> float | None:
        """Return the seconds that the rest will take, None before anything is done."""
        each = self._each()
        if each is None:
            return None
        rest = each * (self.total - self._marks[-1][0]) - min(self.waited(), ALMOST * each)
        # Reports may exceed the total, and a clock may be set back.
        return max(0.0, rest)

    def share(self) -> float:
        """Return the share of the whole that is done; within a unit it is estimated."""
        amount, each = self._marks[-1][0], self._each()
        if each:
            # The estimate stays below the next unit, part of which may be done already.
            amount += min(ALMOST, self.waited() / each) * (int(amount) + 1 - amount)
        return min(1.0, amount / max(1, self.total))

    def _each(self) -> float | None:
        """Return the seconds a unit takes, None before anything is done."""
        if len(self._marks) == 1:
            return None
        # The first unit loads what later ones use; once there are others, it does not count.
        (before, begin), (amount, end) = self._marks[len(self._marks) > 2], self._marks[-1]
        each = (end - begin) / (amount - before)
        # A unit that takes longer than the others counts with its own time so far.
        overdue = (end - begin + self.waited()) / (amount - before + 1)
        return max(each, overdue)

    def _worked(self) -> float:
        return self.elapsed() - self._compiled - self.compiling()

    def begin_compiling(self, event: str, value: float | int, **_: Any) -> None:
        """Take note of an event that JAX begins."""
        if event.startswith(COMPILATION):
            self._since = self._since if self._under_way else time.monotonic()
            self._under_way.append(event)

    def end_compiling(self, event: str, duration_secs: float, **_: Any) -> None:
        """Take note of an event that JAX ends; the time of nested events is not counted twice."""
        if event in self._under_way:
            until_now = self.compiling()
            self._under_way.remove(event)
            self._compiled += 0.0 if self._under_way else until_now


@contextmanager
def paced(total: int, done: int) -> Iterator[Stopwatch]:
    """Yield the pace of work that begins now; until it ends, JAX reports its compilations to it."""
    from jax import monitoring

    pace = Stopwatch(total, done)
    monitoring.register_scalar_listener(pace.begin_compiling)
    monitoring.register_event_duration_secs_listener(pace.end_compiling)
    try:
        yield pace
    finally:
        monitoring.unregister_scalar_listener(pace.begin_compiling)
        monitoring.unregister_event_duration_listener(pace.end_compiling)


def clock(seconds: float) -> str:
    """Return 20 s, 3:20 or 1:03:20; less than 0 is 0 s; an infinite time, or NaN, is unknown."""
    if not math.isfinite(seconds):
        return "an unknown time"
    seconds = max(0.0, seconds)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"
