"""Whether a learned optimizer is worth using: against tuned baselines, on fresh problems."""

import math
from typing import Any

from metadescent.descent.comparison import Comparison, compare
from metadescent.descent.standings import steps_to
from metadescent.descent.tuning import Progress, Tuned
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs.choice.kept import AS_IT_BEGINS, TRAINED
from metadescent.runs.choice.look import Look
from metadescent.runs.choice.sizes import HELD, LEAST, at_once
from metadescent.runs.outcome import outcome_of, takes_searches, times, untrained_on

WORTH = 1.2
"""The least speed-up over the best baseline for which a file of its own is worth it."""
JUDGED, SHARE = 64, 0.02
"""The number of fresh problems, or the share of the minutes if so many take longer."""
LEARNED, UNTRAINED = "learned", "untrained"


def judge(
    learned: dict[str, LearnedOptimizer],
    judged_on: Problem,
    asked: dict[str, Any],
    seen: Look,
    *,
    progress: Progress = lambda _: None,
) -> Comparison:
    """Compare an optimizer with the rule before training, and with the baselines.

    The baselines have the rates that the look tuned.
    """
    affordable = seen.sizes.most(SHARE * 60 * asked["minutes"], asked["steps"])
    fitting = at_once(HELD * seen.sizes.coordinates)
    searched = {name: Tuned(rate, [], [], "at first") for name, rate in seen.rates.items()}
    return compare(
        learned,
        judged_on,
        asked["problem"],
        baselines=list(searched),
        num_steps=asked["steps"],
        num_seeds=max(LEAST, min(JUDGED, affordable, fitting)),
        # The seed is one above that of training, as in the doctor.
        seed=asked["seed"] + 1,
        searched=searched,
        progress=progress,
        timed=True,
    )


def advice(comparison: Comparison, kept: str = TRAINED, few: int | None = None) -> list[str]:
    """Return who won, and whether the optimizer is worth keeping or what to use instead.

    Arguments:
        comparison: of `LEARNED` with baselines.
        kept: what was kept in the end, as in `Learned`.
        few: the number of tasks, if they are too few to hold some out.
    """
    said = [outcome_of(comparison, LEARNED, _training(kept))]
    if few:
        said.append(
            f"It was judged on tasks that it was chosen by: there are {few}, too few to hold some "
            "out; evaluate it on others."
        )
    standings = comparison.standings(LEARNED)
    ahead = [name for name, beside in standings.items() if beside.sign < 0]
    name = comparison.reference
    if ahead:
        best = min(ahead, key=lambda name: comparison.curves[name].last_tenth)
        mine, other = (comparison.curves[name] for name in (LEARNED, best))
        steps = steps_to(other.mean, mine.last_tenth)
        taken = f"{steps:g} gradient{'s' * (steps != 1)}"
        there = f" and is where it ends after {taken}" if math.isfinite(steps) else ""
        said.append(
            f"It is not worth keeping: {best}{_rate(comparison, best)} is ahead of it{there}; use "
            "that, or give it more minutes."
        )
    elif name is not None:
        said.append(_worth(comparison, name))
    return said


def _training(kept: str) -> str:
    """Return how φ was trained on the problem."""
    if kept == AS_IT_BEGINS:
        return untrained_on("this problem")
    said = "it was trained on this problem"
    if kept != TRAINED:
        said += f" in the trial {kept}, and longer training did not improve it"
    return said


def _worth(comparison: Comparison, name: str) -> str:
    """Return whether an optimizer that is behind no baseline is worth it, beside the reference."""
    speed, sign = comparison.speed_up(LEARNED), comparison.standings(LEARNED)[name].sign
    assert speed is not None
    if math.isnan(speed):
        return f"It is worth keeping if it is finite where {name}, the best baseline, diverges."
    if sign > 0 and speed >= WORTH:
        return f"It is worth keeping: {times(speed)} × as fast as {name}."
    return f"It is hardly worth keeping: {name}{_rate(comparison, name)} will do."


def _rate(comparison: Comparison, name: str) -> str:
    """Return the rate of a baseline; nothing if a search finds the length of its steps."""
    return "" if takes_searches(name) else f" at a rate of {comparison.tuned[name].rate:.3g}"
