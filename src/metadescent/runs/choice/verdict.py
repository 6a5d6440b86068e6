"""Whether what was learned is worth it: against tuned baselines, on problems of its own."""

import math
from typing import Any

from metadescent.descent.comparison import Comparison, compare
from metadescent.descent.standings import steps_to
from metadescent.descent.tuning import Progress, Tuned
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs.choice.candidate import HELD_OUT
from metadescent.runs.choice.look import Look
from metadescent.runs.choice.sizes import LEAST
from metadescent.runs.outcome import outcome_of, takes_searches, times

WORTH = 1.2
"""Times as fast as the best baseline: less is not worth a file of its own."""
JUDGED, SHARE = 64, 0.02
"""Fresh problems, or as many as the learned one is run on in this share of the minutes."""
LEARNED, UNTRAINED = "learned", "untrained"


def judge(
    m: LearnedOptimizer,
    untrained: LearnedOptimizer,
    problem: Problem,
    asked: dict[str, Any],
    seen: Look,
    *,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Compare an optimizer with what it was untrained, and with the baselines.

    The latter have the rates that they were tuned to at first. Where a problem has numbered tasks,
    they are others than those that φ was learned from.
    """
    affordable = seen.sizes.most(SHARE * 60 * asked["minutes"], asked["steps"])
    searched = {name: Tuned(rate, [], [], "at first") for name, rate in seen.rates.items()}
    return compare(
        {LEARNED: m, UNTRAINED: untrained},
        problem.hold_out(HELD_OUT).judged_on,
        asked["problem"],
        baselines=list(searched),
        num_steps=asked["steps"],
        num_seeds=max(LEAST, min(JUDGED, affordable)),
        # One above the seed of training, as for the doctor.
        seed=asked["seed"] + 1,
        searched=searched,
        progress=progress,
        timed=True,
    )


def advice(comparison: Comparison) -> list[str]:
    """Return who won, and whether the optimizer is worth keeping or what to use instead."""
    said = [outcome_of(comparison, LEARNED, "it was trained on this problem")]
    standings = comparison.standings(LEARNED)
    ahead = [name for name, beside in standings.items() if beside.sign < 0]
    if not ahead:
        name, speed = comparison.reference, comparison.speed_up(LEARNED)
        if name is not None and speed is not None:
            if speed >= WORTH:
                said.append(f"It is worth keeping: {times(speed)} × as fast as {name}.")
            else:
                said.append(f"It is hardly worth keeping: {name}{_rate(comparison, name)} will do.")
        return said
    best = min(ahead, key=lambda name: comparison.curves[name].last_tenth)
    mine, other = (comparison.curves[name] for name in (LEARNED, best))
    steps = steps_to(other.mean, mine.last_tenth)
    there = f" and is where it ends after {steps:g} gradients" if math.isfinite(steps) else ""
    said.append(
        f"It is not worth keeping: {best}{_rate(comparison, best)} is ahead of it{there}; use "
        "that, or give it more minutes."
    )
    return said


def _rate(comparison: Comparison, name: str) -> str:
    """Return what a baseline's rate is, nothing where a search finds the length of its steps."""
    return "" if takes_searches(name) else f" at a rate of {comparison.tuned[name].rate:.3g}"
