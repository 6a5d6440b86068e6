"""Learned against hand-designed optimizers, all tuned, on the same fresh problems."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from metadescent import _show
from metadescent._provenance import hardware, versions
from metadescent.descent.baselines import STANDARD, baseline_of
from metadescent.descent.curves import (
    Curve,
    apart,
    blown_up,
    held_out_curves,
    learning_curves,
    ratio,
    summarize,
)
from metadescent.descent.fingerprint import digest_of_rule, fingerprint_of
from metadescent.descent.kept_runs import Runs, run_once
from metadescent.descent.outside import outsiders
from metadescent.descent.standings import Standing, speed_up, standing
from metadescent.descent.tuning import Progress, Tuned, Within
from metadescent.descent.tuning_cache import tune_each
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.horizon import for_open_steps
from metadescent.problems.base import Problem


class Comparison(NamedTuple):
    """Learning curves of several optimizers on the same problems, by name; learned ones come first.

    Mappings are empty where nothing was measured.
    """

    problem: str
    steps: int
    seeds: int
    curves: dict[str, Curve]
    tuned: dict[str, Tuned]  # the search behind each hand-designed optimizer's rate
    minutes: float
    held_out: Mapping[str, Curve] = {}  # on held-out data, a value once in `every` steps
    every: int = 1
    seconds: Mapping[str, float] = {}  # the time of a step
    # How far the loss of each hand-designed optimizer is above the first learned one's on the same
    # problem: such differences vary less than problems do.
    margins: Mapping[str, Curve] = {}
    # f(θ_1) … f(θ_T) of every optimizer, problem by problem, for comparisons in pairs.
    losses: Mapping[str, Float[np.ndarray, "seeds steps"]] = {}
    held_out_losses: Mapping[str, Float[np.ndarray, "seeds points"]] = {}
    before: float = 0.0  # those of the minutes that went into runs which had been kept

    def best_baseline(self, figure: Callable[[Curve], float]) -> str:
        """Return the hand-designed optimizer with the lowest figure, say `lambda c: c.final`."""
        # An optimizer that diverged has a figure of NaN, and comes last.
        figures = {name: figure(self.curves[name]) for name in self.tuned}
        return min(figures, key=lambda name: (math.isnan(figures[name]), figures[name]))

    @property
    def reference(self) -> str | None:
        """Return the best tuned baseline that takes one gradient a step, to compare others with.

        A baseline that searches along a line suits few problems, and is compared with it as well.
        """
        first_order = [name for name in self.tuned if not baseline_of(name).searches_along_line]
        among = {name: self.tuned[name] for name in first_order or self.tuned}
        return self._replace(tuned=among).best_baseline(lambda c: c.last_tenth) if among else None

    def speed_up(self, name: str) -> float | None:
        """Return how many times as fast as the reference it reaches the reference's final loss.

        0 means that it never does.
        """
        if self.reference is None:
            return None
        return speed_up(self.curves[name].mean, self.curves[self.reference].mean)

    def standings(self, name: str) -> dict[str, Standing]:
        """Return how an optimizer did beside each hand-designed one, on the same problems."""
        return {
            other: standing(self.losses[name], self.losses[other])
            for other in self.tuned
            if other in self.losses
        }

    def beside(self, name: str) -> tuple[str, dict[str, float]]:
        """Return ÷ or −, and every final loss divided by that of `name`, or minus it.

        A ratio says nothing if f falls below zero or the reference is zero. Then it is −.
        """
        reference = self.curves[name].last_tenth
        finals = {other: curve.last_tenth for other, curve in self.curves.items()}
        if reference > 0 and not any((curve.mean < 0).any() for curve in self.curves.values()):
            return "÷", {other: float(ratio(final, reference)) for other, final in finals.items()}
        return "−", {other: final - reference for other, final in finals.items()}

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
        """Return the parts that not every comparison has."""
        extras: dict[str, Any] = {}
        if self.held_out:
            curves = {name: curve.to_json() for name, curve in self.held_out.items()}
            extras["held_out"] = {"every": self.every, "curves": curves}
        if self.seconds:
            extras["seconds_per_step"] = dict(self.seconds)
        return extras

    def plot(self) -> Any:
        """Return a figure of the learning curves."""
        return _show.plot(self)

    def _repr_html_(self) -> str:
        return _show.html(self)


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
    within: Within = lambda *_: None,
    timed: bool = False,
    kept: Path | None = None,
) -> Comparison:
    """Run learned optimizers and tuned baselines on the same freshly sampled problems.

    Every optimizer faces the same f, θ₀ and minibatches from a fresh state. Rates are tuned for
    this very problem and horizon, on problems drawn from another key than those that are reported,
    or on `tuned_on`. Means leave out the problems on which a loss blew up, if they are at most one
    in twenty, and each curve has their number.

    Arguments:
        learned: learned optimizers by name.
        problem: p(f).
        problem_name: what the results call it.
        baselines: hand-designed optimizers by name; the paper's four if not given.
        num_steps: the horizon.
        num_seeds: fresh problems that every optimizer is run on.
        tune_seeds: problems that each rate is judged on; as many as `num_seeds` if not given, and
            at least 32. Only about a thousand problems show what diverges once in a thousand.
        seed: draws the problems.
        cache: folder where the outcomes of searches are kept and looked up; none if not given.
        progress: called with a few words after each thing that is done.
        held_out: the same kind of problem with data that nothing is learned from; evaluated once in
            `every` steps, and not used to tune rates.
        tuned_on: the same kind of problem with other data, on which rates are tuned.
        searched: outcomes of searches that need no repetition, by baseline.
        within: called with words on how far the search for a rate is, and with the share.
        timed: whether to run every optimizer once more, after it is compiled, to time its steps.
        kept: folder where the losses of each optimizer are kept and looked up; none if not given.

    Raises:
        UserError: if a baseline is unknown, or `every` does not divide the steps.

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
    tuned = tune_each(
        baselines,
        problem if tuned_on is None else tuned_on,
        tune_key,
        num_steps,
        tune_seeds,
        cache,
        progress,
        searched,
        within,
    )
    rules: dict[str, AnyOptimizer] = {
        name: for_open_steps(m, num_steps) for name, m in learned.items()
    }
    rules |= {name: baseline_of(name).at(search.rate, num_steps) for name, search in tuned.items()}
    losses, curves, outside, held_out_summaries, seconds, whole = {}, {}, {}, {}, {}, {}
    sizes: dict[str, Any] = {"num_steps": num_steps, "num_seeds": num_seeds}
    digests = [fingerprint_of(p) for p in (problem, held_out) if p is not None] if kept else []

    def run(m: AnyOptimizer) -> Runs:
        if held_out is None:
            return Runs(np.asarray(learning_curves(m, problem, report_key, **sizes)))
        inside, beyond = held_out_curves(m, problem, held_out, report_key, every=every, **sizes)
        return Runs(np.asarray(inside), np.asarray(beyond))

    before = 0.0
    for name, m in rules.items():
        rate = tuned[name].rate if name in tuned else None
        # A rule from outside has code that no digest covers.
        if kept is None or any(outsiders(m)):
            runs = run(m)
        else:
            rule = digest_of_rule(m) if isinstance(m, LearnedOptimizer) else [name, rate]
            key = jax.random.key_data(report_key).tolist()
            question = [rule, digests, key, num_steps, num_seeds, every]
            runs = run_once(kept, name, question, functools.partial(run, m))
        before += runs.before / 60
        losses[name] = runs.losses
        gone = blown_up(losses[name])
        whole[name] = ~apart(gone)
        curves[name] = summarize(losses[name][whole[name]], rate)._replace(diverged=int(gone.sum()))
        if runs.held_out is not None:
            outside[name] = runs.held_out
            held_out_summaries[name] = summarize(outside[name][whole[name]], rate)
        if timed:
            began = time.perf_counter()
            learning_curves(m, problem, report_key, **sizes).block_until_ready()
            seconds[name] = (time.perf_counter() - began) / (num_steps * num_seeds)
        progress(f"ran {name}")
    margins = {}
    if learned:
        mine = losses[next(iter(learned))]
        margins = {name: summarize((losses[name] - mine)[whole[name]]) for name in tuned}
    return Comparison(
        problem_name,
        num_steps,
        num_seeds,
        curves,
        tuned,
        minutes=(time.monotonic() - started) / 60 + before,
        held_out=held_out_summaries,
        every=every,
        seconds=seconds,
        margins=margins,
        losses=losses,
        held_out_losses=outside,
        before=before,
    )


def problem_keys(seed: int) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Return the keys of the problems that rates are tuned on, and of those that are reported."""
    tune_key, report_key = jax.random.split(jax.random.key(seed))
    return tune_key, report_key
