"""How many problems a family can be looked at and validated on, given their time and memory."""

import math
import time
from typing import NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import learning_curves, theta_shapes
from metadescent.problems.base import Problem

MOST_LOOKED_AT, MOST_VALIDATED, MOST_PAIRED = 64, 256, 1024
"""The most problems of each kind; many, as one that goes wrong in a hundred decides a mean."""
FEWEST, LEAST = 8, 2
"""The fewest problems of a mean, and the fewest if a problem takes too long for that."""
RUNS = 57
"""Runs that tuning and comparing four baselines take for each problem."""
LOOK, VALIDATION = 0.1, 0.005
"""Shares of the time for the look, and for one validation."""
DEAR_LOOK, DEAR = 0.25, 0.02
"""The largest shares of the time for them, taken only to reach `FEWEST` problems."""
DEARER = 2
"""The time of a learned rule's step ÷ that of a step of Adam and f, without its numbers."""
NUMBER = 2e-9
"""Seconds of a step for each number that a rule holds."""
HELD = 150
"""Numbers that an LSTM, or its meta-gradient, holds for each coordinate."""
FLOATS = 10**8
"""The most numbers that a program may hold."""


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
        """Return on how many problems a rule with `held` numbers a coordinate can run in a time."""
        return int(seconds / (steps * _learned_step(self.step, held * self.coordinates)))


def sizes_of(problem: Problem, key: PRNGKeyArray, *, steps: int, seconds: float) -> Sizes:
    """Return the sizes for a problem and a horizon, if there are `seconds` in all."""
    shapes = jax.tree.leaves(theta_shapes(problem, key))
    coordinates = sum(math.prod(leaf.shape) for leaf in shapes)
    m = BASELINES["adam"].at(0.0, steps)
    # The first run includes compilation; only the second is timed.
    for _ in range(2):
        began = time.perf_counter()
        learning_curves(m, problem, key, num_steps=steps, num_seeds=FEWEST).block_until_ready()
    step = (time.perf_counter() - began) / (steps * FEWEST)  # pyright: ignore[reportPossiblyUnboundVariable]
    return sizes_for(coordinates, step, steps=steps, seconds=seconds)


def sizes_for(coordinates: int, step: float, *, steps: int, seconds: float) -> Sizes:
    """Return the sizes for a family, given the seconds of a step."""
    looks = seconds / (RUNS * max(step * steps, 1e-9))
    looked_at = max(LOOK * looks, min(FEWEST, DEAR_LOOK * looks))
    learned = seconds / (steps * _learned_step(step, HELD * coordinates))
    held = at_once(HELD * coordinates)
    # If the time is too short for `FEWEST` problems, more time is taken, up to a limit.
    affordable = min(max(VALIDATION * learned, min(FEWEST, DEAR * learned)), held)
    return Sizes(
        coordinates,
        step,
        int(min(max(looked_at, LEAST), MOST_LOOKED_AT)),
        int(max(min(affordable, MOST_VALIDATED), LEAST)),
        int(max(min(affordable, MOST_PAIRED), LEAST)),
    )


def _learned_step(step: float, numbers: int) -> float:
    """Return the seconds of a step on one problem for a rule that holds so many numbers."""
    return max(DEARER * step + NUMBER * numbers, 1e-9)


def at_once(floats: int) -> int:
    """Return how many problems fit if each holds so many numbers; 0 if none does."""
    return int(FLOATS / max(1, floats))
