"""Processor cores: which of them this process may use, and its share of them; no JAX."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


def own_cores() -> list[int]:
    """Return the cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def share_of(cores: Sequence[int], processes: int, index: int) -> list[int]:
    """Return the cores for one of several processes; if there are too few, all of them."""
    if len(cores) < processes:
        return list(cores)
    begin, end = (len(cores) * i // processes for i in (index, index + 1))
    return list(cores[begin:end])


def keep_to(cores: Sequence[int]) -> None:
    """Limit this process, and those that it starts, to some cores, where the system allows it."""
    if cores and hasattr(os, "sched_setaffinity"):
        # A container may refuse; then the processes only slow each other down.
        with suppress(OSError):
            os.sched_setaffinity(0, cores)


@contextmanager
def kept_to(cores: Sequence[int], afterwards: Sequence[int]) -> Iterator[None]:
    """Keep to some cores until the context ends, and to others afterwards."""
    keep_to(cores)
    try:
        yield
    finally:
        keep_to(afterwards)
