"""Clocks: forms timed in turn, so that a busy machine slows all of them alike; medians."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

# PyTorch's threads spin for a while after each call; the next form shall not pay for that.
PAUSE = 0.02


Clock = Callable[[], float]


def seconds_of(call: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    """Return the seconds until what a call returns is there."""
    started = clock()
    jax.block_until_ready(call())
    return clock() - started


def in_turn(
    forms: Mapping[str, Callable[[], Any]], repeats: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Run each form once to warm up, then each in turn `repeats` times; return all seconds.

    A round begins one form later than the round before, so that none is always after the same.
    """
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for call in forms.values():
        jax.block_until_ready(call())
    names = list(forms)
    for first in range(repeats):
        for i in range(len(names)):
            name = names[(first + i) % len(names)]
            time.sleep(PAUSE)
            seconds[name].append(seconds_of(forms[name], clock))
    return seconds


def measured(seconds: Sequence[float], calls: int = 1) -> dict[str, Any]:
    """Return the median of one of `calls` calls, and the raw seconds of all of them together."""
    return {"median": median(seconds) / calls, "seconds": list(seconds), "calls": calls}


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def load() -> list[float]:
    """Return how many processes wanted a core in the last 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()]


def allowed_memory() -> int:
    """Return the bytes that a form may need by prediction: 60 % of what the machine has."""
    return int(0.6 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
