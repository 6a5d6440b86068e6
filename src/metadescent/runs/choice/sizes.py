"""How many problems a family can be looked at and validated on, by what they cost and hold."""

import math
import time
from typing import NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import learning_curves, theta_shapes
from metadescent.problems.base import Problem

MOST_LOOKED_AT, MOST_VALIDATED, MOST_PAIRED = 64, 256, 1024
"""One problem in a hundred that goes wrong decides a mean, so few are too few."""
FEWEST, LEAST = 8, 2
"""Problems of a mean, and of one where more are too dear."""
RUNS = 57
"""Runs a problem that tuning and comparing four baselines take."""
LOOK, VALIDATION = 0.1, 0.005
"""Shares of the time, for the look and for one validation."""
DEAR_LOOK, DEAR = 0.25, 0.02
"""What each of these may take at most, lest it be of fewer than `FEWEST` problems."""
DEARER = 2
"""Times what a step of Adam takes, with f: a step of a learned rule, beside its own numbers."""
NUMBER = 2e-9
"""Seconds of a step for each number that a rule holds."""
HELD = 150
"""Numbers a coordinate that an LSTM, or a meta-gradient of one, holds."""
FLOATS = 10**8
"""Numbers that a program may hold."""


class Sizes(NamedTuple):
    """What a family costs.

    coordinates  of θ
    step         seconds of one step on one problem, of several that run side by side
    looked_at    problems that baselines are tuned on
    validated    problems of a validation
    paired       problems that rules are compared on, in pairs
    """

    coordinates: int
    step: float
    looked_at: int
    validated: int
    paired: int

    def most(self, seconds: float, steps: int, held: int = HELD) -> int:
        """Return on how many problems a rule that holds so many numbers can be run in a time."""
        return int(seconds / (steps * _learned_step(self.step, held * self.coordinates)))


def sizes_of(problem: Problem, key: PRNGKeyArray, *, steps: int, seconds: float) -> Sizes:
    """Return the sizes for a problem and a horizon, where there are so many seconds in all."""
    shapes = jax.tree.leaves(theta_shapes(problem, key))
    coordinates = sum(math.prod(leaf.shape) for leaf in shapes)
    m = BASELINES["adam"].at(0.0, steps)
    # The second time it is compiled.
    for _ in range(2):
        began = time.perf_counter()
        learning_curves(m, problem, key, num_steps=steps, num_seeds=FEWEST).block_until_ready()
    step = (time.perf_counter() - began) / (steps * FEWEST)  # pyright: ignore[reportPossiblyUnboundVariable]
    return sizes_for(coordinates, step, steps=steps, seconds=seconds)


def sizes_for(coordinates: int, step: float, *, steps: int, seconds: float) -> Sizes:
    """Return the sizes for what a step costs."""
    looks = seconds / (RUNS * max(step * steps, 1e-9))
    looked_at = max(LOOK * looks, min(FEWEST, DEAR_LOOK * looks))
    learned = seconds / (steps * _learned_step(step, HELD * coordinates))
    held = at_once(HELD * coordinates)
    # A few more than there is time for, where a few are affordable.
    affordable = min(max(VALIDATION * learned, min(FEWEST, DEAR * learned)), held)
    return Sizes(
        coordinates,
        step,
        int(min(max(looked_at, LEAST), MOST_LOOKED_AT)),
        int(max(min(affordable, MOST_VALIDATED), LEAST)),
        int(max(min(affordable, MOST_PAIRED), LEAST)),
    )


def _learned_step(step: float, numbers: int) -> float:
    """Return the seconds of a step on one problem of a rule that holds so many numbers."""
    return max(DEARER * step + NUMBER * numbers, 1e-9)


def at_once(floats: int) -> int:
    """Return how many problems fit where each holds so many numbers; 0 if none does."""
    return int(FLOATS / max(1, floats))
