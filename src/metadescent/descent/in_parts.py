"""Runs on many problems in equal parts, one part after another."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import PyTree

from metadescent.problems.base import Problem
from metadescent.problems.batch import Part, Place


def in_parts(
    run: Callable[[Place | None, int], PyTree],
    num_seeds: int,
    at_once: int | None,
    progress: Callable[[float], object] = lambda _: None,
) -> PyTree:
    """Return what `run` returns of all seeds, of which at most `at_once` are in one call.

    `run` is called with a part of the seeds, None for all, and with their number. The arrays that
    it returns have an axis of seeds first. `progress` is called with the share that is done.
    """
    # Many copies of a large problem would not fit into memory, or into a processor's cache.
    parts = parts_of(num_seeds, at_once)
    if parts == 1:
        return run(None, num_seeds)
    made = []
    for index in range(parts):
        # An array, so that one compiled program serves all parts.
        made.append(run(Place(jnp.asarray(index), parts), num_seeds // parts))
        if not isinstance(jax.tree.leaves(made[-1])[0], Tracer):
            jax.block_until_ready(made[-1])
            progress((index + 1) / parts)
    return jax.tree.map(lambda *each: jnp.concatenate(each), *made)


def parts_of(size: int, at_once: int | None) -> int:
    """Return the least number of equal parts of a batch that have at most `at_once` each."""
    counts = (parts for parts in range(1, size + 1) if size % parts == 0)
    return next(parts for parts in counts if at_once is None or size // parts <= max(1, at_once))


def within(problem: Problem, place: Place | None) -> Problem:
    """Return the part of a problem in a place, or all of it."""
    return problem if place is None else Part(problem, place)
