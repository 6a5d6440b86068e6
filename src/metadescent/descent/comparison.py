"""Learned against hand-designed: everyone tuned, on the same fresh problems."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from jaxtyping import PRNGKeyArray

from metadescent._provenance import hardware, versions
from metadescent.descent.baselines import BASELINES, STANDARD
from metadescent.descent.curves import Curve, held_out_curves, learning_curves, summarize
from metadescent.descent.tuning import Tuned
from metadescent.descent.tuning_cache import Progress, tune_all
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


class Comparison(NamedTuple):
    """Learning curves of several optimizers on the same problems, by name; the learned come first.

    `tuned` holds the search behind each hand-designed optimizer's rate. `held_out` has curves of
    held-out data, a value once in `every` steps; it is empty where there is none. `seconds` is what
    a step of each optimizer takes, where that was measured. `margins` says by how much the loss of
    each hand-designed optimizer is above the first learned one's on the same problem: differences
    vary less than problems do.

    Example:
        >>> import numpy as np
        >>> finals = {"mine": 0.1, "sgd": 0.5, "adam": 0.3}
        >>> curves = {name: summarize(np.asarray([[1.0, loss]])) for name, loss in finals.items()}
        >>> tuned = {name: Tuned(0.1, [], [], "") for name in ("sgd", "adam")}
        >>> found = Comparison("quadratic", 2, 1, curves, tuned, minutes=0.0)
        >>> found.best_baseline(lambda curve: curve.final)
        'adam'
    """

    problem: str
    steps: int
    seeds: int
    curves: dict[str, Curve]
    tuned: dict[str, Tuned]
    minutes: float
    held_out: Mapping[str, Curve] = {}
    every: int = 1
    seconds: Mapping[str, float] = {}
    margins: Mapping[str, Curve] = {}

    def best_baseline(self, figure: Callable[[Curve], float]) -> str:
        """Return the hand-designed optimizer with the lowest figure, say `lambda c: c.final`.

        One that diverged, whose figure is NaN, comes last.
        """
        figures = {name: figure(self.curves[name]) for name in self.tuned}
        return min(figures, key=lambda name: (math.isnan(figures[name]), figures[name]))

    def to_json(self) -> dict[str, Any]:
        """Return the comparison in the schema of `metadescent evaluate --json`."""
        return {
            "problem": self.problem,
            "steps": self.steps,
            "seeds": self.seeds,
            "curves": {name: curve.to_json() for name, curve in self.curves.items()},
            "hardware": hardware(),
            "versions": versions(),
            "minutes": round(self.minutes, 3),
        } | self._extras_to_json()

    def _extras_to_json(self) -> dict[str, Any]:
        """Return what not every comparison has."""
        found: dict[str, Any] = {}
        if self.held_out:
            curves = {name: curve.to_json() for name, curve in self.held_out.items()}
            found["held_out"] = {"every": self.every, "curves": curves}
        if self.seconds:
            found["seconds_per_step"] = dict(self.seconds)
        return found


def compare(
    learned: Mapping[str, LearnedOptimizer],
    problem: Problem,
    problem_name: str,
    *,
    baselines: Sequence[str] = STANDARD,
    num_steps: int = 100,
    num_seeds: int = 100,
    tune_seeds: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    held_out: Problem | None = None,
    every: int = 20,
    tuned_on: Problem | None = None,
    searched: Mapping[str, Tuned] = MappingProxyType({}),
) -> Comparison:
    """Run learned optimizers and tuned baselines on the same freshly sampled problems.

    Every optimizer faces the same f, θ₀ and minibatches from a fresh state. Rates are tuned for
    this very problem and horizon, on problems drawn from another key than those reported, or on
    `tuned_on`.

    Arguments:
        learned: learned optimizers by name.
        problem: p(f); `problem_name` is what the results call it.
        baselines: keys of `metadescent.descent.tuning.BASELINES`.
        num_steps: the horizon.
        num_seeds: fresh problems that every optimizer is run on.
        tune_seeds: problems that each rate is judged on; as many as `num_seeds` if not given, and
            at least 32. What diverges once in a thousand problems is found out by a thousand.
        seed: draws the problems.
        cache: folder where the outcomes of searches are kept and looked up; none if not given.
        progress: called with a word on each thing done.
        held_out: the same kind of problem with data that nothing is learned from; evaluated once in
            `every` steps, and not what rates are tuned by.
        tuned_on: the same kind of problem with other data, that rates are tuned on.
        searched: outcomes of searches that need no repetition, by baseline.

    Raises:
        UserError: if a baseline is unknown, or `every` is no divisor of the steps.

    Source: section 3.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> result = compare({}, Quadratic(), "quadratic", baselines=["sgd"], num_seeds=4)
        >>> result.curves["sgd"].mean.shape
        (100,)
    """
    started = time.monotonic()
    tune_key, report_key = problem_keys(seed)
    tune_seeds = tune_seeds or max(num_seeds, 32)
    tuned = tune_all(
        baselines,
        problem if tuned_on is None else tuned_on,
        tune_key,
        num_steps,
        tune_seeds,
        cache,
        progress,
        searched,
    )
    rules = {name: (m, None) for name, m in learned.items()}
    rules |= {name: (BASELINES[name].make(t.rate), t.rate) for name, t in tuned.items()}
    curves, others, found = {}, {}, {}
    sizes = {"num_steps": num_steps, "num_seeds": num_seeds}
    for name, (m, rate) in rules.items():
        if held_out is None:
            found[name] = learning_curves(m, problem, report_key, **sizes)
        else:
            found[name], other = held_out_curves(
                m, problem, held_out, report_key, every=every, **sizes
            )
            others[name] = summarize(other, rate)
        curves[name] = summarize(found[name], rate)
        progress(f"ran {name}")
    margins = {}
    if learned:
        mine = found[next(iter(learned))]
        margins = {name: summarize(found[name] - mine) for name in tuned}
    minutes = (time.monotonic() - started) / 60
    return Comparison(
        problem_name, num_steps, num_seeds, curves, tuned, minutes, others, every, margins=margins
    )


def problem_keys(seed: int) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Return the keys of the problems that rates are tuned on, and of those that are reported.

    Example:
        >>> tuned_on, reported_on = problem_keys(0)
        >>> bool(tuned_on == problem_keys(0)[0]), bool(tuned_on == reported_on)
        (True, False)
    """
    tune_key, report_key = jax.random.split(jax.random.key(seed))
    return tune_key, report_key
