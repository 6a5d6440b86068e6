"""Choose what to train by short trials: a look, untrained starts, then halving by the clock.

All candidates are compared in pairs, on the same problems, by how fast they get to the levels of
the best baseline (see `pairs`). After the first round only the better half goes on, for longer.
What is chosen is trained anew for the rest of the time, so that one command without a search
repeats it.
"""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from metadescent._files import is_file
from metadescent.problems.base import Problem
from metadescent.runs import training
from metadescent.runs.choice.candidate import (
    Candidate,
    candidates,
    common_recipe,
)
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.look import Look, look_at
from metadescent.runs.choice.pairs import Pairs
from metadescent.runs.choice.sizes import sizes_of
from metadescent.runs.curriculum import validate_init
from metadescent.runs.folder import OPTIMIZER
from metadescent.runs.log import read_metrics
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

TRIALS = 0.4
"""The share of the time after the look that is for trials; after it, none is begun."""
LONGER = 3
"""In the second round a trial has so many times as long as in the first."""
HOPELESS = 1.5
"""Times the best r: what is evolved begins above it, or a first trial ends above it, in vain."""


class Report(Protocol):
    """Where a stage says how far it has come."""

    def __call__(self, text: str, advance: int = 0, part: float | None = None) -> None:
        """Show `text`, and that `advance` more units are done and a part of the next."""


Bar = Callable[[str, int], AbstractContextManager[Report]]
"""Makes a report of a stage of so many units."""


def choose(
    folder: Path, problem: Problem, journal: Journal, *, bar: Bar, data_dir: Path | None = None
) -> Recipe:
    """Return the recipe for the rest of the time; nothing that is noted is done again."""
    if (chosen := journal.chosen()) is not None:
        return chosen
    asked = journal.get("asked")
    in_all, spent = 60.0 * asked["minutes"], Clock(journal)
    common = common_recipe(steps=asked["steps"], seed=asked["seed"])
    seen = journal.look()
    if seen is None:
        seen = _look(problem, common, in_all, bar)
        journal.see(seen)
        spent.note()
    pairs = pairs_of(seen, problem, common)
    tried = candidates(seen, steps=asked["steps"], seed=asked["seed"], seconds=in_all)
    tried = [_begun(candidate, problem, journal, bar) for candidate in tried]
    spent.note()
    tried = _promising(tried, journal.get("starts"))
    # One round of all, and one of half of them that is `LONGER` in all.
    second = (len(tried) + 1) // 2
    plan = journal.get("trial_plan")
    if plan is None:
        left = max(0.0, in_all - journal.seconds)
        seconds = TRIALS * left / (len(tried) + (LONGER - 1) * second)
        # Once and for all: after a stop less time is left, and the choice is to be the same.
        plan = {"seconds": seconds, "until": journal.seconds + TRIALS * left}
        journal.put("trial_plan", plan)
    results: list[Result] = []
    for share, count in ((1, len(tried)), (LONGER, second)):
        if results:
            ranked = sorted(results, key=lambda result: result.best)[:count]
            names = [r.name for r in ranked if r.best <= HOPELESS * ranked[0].best]
            tried = [candidate for candidate in tried if candidate.name in names]
        if share == 1 or len(tried) > 1:
            family = Family(folder, problem, journal, pairs, data_dir)
            results = _round(family, tried, share, plan, bar, spent) or results
    best = min(results, key=lambda result: result.best)
    recipe = next(candidate.recipe for candidate in tried if candidate.name == best.name)
    left = in_all - journal.seconds - best.first
    recipe = replace(recipe, epochs=max(1, int(left / best.epoch)), decay="cosine")
    journal.choose(recipe)
    return recipe


class Clock:
    """Notes in a journal what was spent since it was asked last."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.since = journal, time.monotonic()

    def note(self) -> None:
        """Note what was spent."""
        now = time.monotonic()
        self.journal.spend(now - self.since)
        self.since = now


def _look(problem: Problem, recipe: Recipe, seconds: float, bar: Bar) -> Look:
    """Tune and run the baselines, the latter on the problems that φ will be validated on."""
    tune_key = jax.random.fold_in(plan_of(recipe).key, 1)
    sizes = sizes_of(problem, tune_key, steps=recipe.steps, seconds=seconds)
    with bar("look", 10) as report:
        return look_at(
            problem.hold_out(recipe.held_out),
            (tune_key, plan_of(recipe).validation_key),
            steps=recipe.steps,
            sizes=sizes,
            progress=lambda text: report(text, 1),
            within=lambda text, part: report(text, part=part),
        )


def _begun(candidate: Candidate, problem: Problem, journal: Journal, bar: Bar) -> Candidate:
    """Return a candidate with the best of its starts, each validated untrained."""
    starts: dict[str, float] = journal.get("starts") or {}
    new = [spec for spec in candidate.starts if spec not in starts]
    if new:
        with bar(f"start {candidate.name}", len(new)) as report:
            for spec in new:
                r = validate_init(replace(candidate.recipe, optimizer=spec), problem)
                starts[spec] = r if r == r else float("inf")
                report(f"{spec}: {r:.3g}", 1)
        journal.put("starts", starts)
    best = min(candidate.starts, key=lambda spec: starts[spec])
    return candidate._replace(recipe=replace(candidate.recipe, optimizer=best))


def _promising(tried: list[Candidate], starts: dict[str, float]) -> list[Candidate]:
    """Return the candidates without the evolved ones whose start is far behind another's.

    Evolution changes few numbers, and those not by much. The best start comes first, and then what
    no start tells much of.
    """
    r = {candidate.name: starts[candidate.recipe.optimizer] for candidate in tried}
    least = min(r.values())
    kept = [c for c in tried if not c.is_evolved or r[c.name] <= HOPELESS * least]
    return sorted(kept, key=lambda c: (r[c.name] > least, c.is_evolved, r[c.name]))


class Family(NamedTuple):
    """What all trials of a choice share."""

    folder: Path
    problem: Problem
    journal: Journal
    pairs: Pairs
    data_dir: Path | None


def _round(
    family: Family,
    tried: list[Candidate],
    share: int,
    plan: dict[str, float],
    bar: Bar,
    spent: "Clock",
) -> list[Result]:
    """Train each candidate until it has had so many seconds in all, as long as there is time."""
    journal, seconds = family.journal, share * plan["seconds"]
    done: dict[str, Any] = journal.get("trials") or {}
    names = {candidate.name: f"{candidate.name} × {share}" for candidate in tried}
    new = [candidate for candidate in tried if names[candidate.name] not in done]
    if new:
        with bar(f"try {len(new)} for {seconds:.0f} s each", len(new)) as report:
            for candidate in new:
                # The first one of all is tried whatever time there is.
                if done and journal.seconds >= plan["until"]:
                    done = {**done, names[candidate.name]: None}
                    report(f"{candidate.name}: no time", 1)
                else:
                    result = _trial(family, candidate, seconds)
                    done = {**done, names[candidate.name]: result._asdict()}
                    report(f"{candidate.name}: {result.best:.3g}", 1)
                journal.put("trials", done)
                spent.note()
    kept = (done[names[candidate.name]] for candidate in tried)
    return [Result(**result) for result in kept if result is not None]


def _trial(family: Family, candidate: Candidate, seconds: float) -> Result:
    """Train one candidate, or go on with it."""
    folder, problem, journal, pairs, data_dir = family
    place, plan = folder_of(folder, candidate.name), plan_of(candidate.recipe)
    run = training.train(
        place,
        problem,
        journal.problem_name,
        plan,
        resume=True,
        data_dir=data_dir,
        warn=lambda _: None,
    )
    # A first epoch is mostly compilation, and counts for nothing.
    with contextlib.closing(run):
        while (metrics := read_metrics(place), _trained(metrics) < seconds)[1]:
            next(run)
    at = [0.0, *(line["seconds"] for line in metrics)]
    epochs = [after - before for before, after in itertools.pairwise(at)]
    epoch = statistics.median(epochs[1:] or epochs)
    trained = is_file(place / OPTIMIZER)
    return Result(
        candidate.name,
        candidate.recipe.optimizer,
        journal.get("starts")[candidate.recipe.optimizer],
        pairs.time_of(load(place)) if trained else float("inf"),
        len(metrics),
        epoch,
        max(0.0, epochs[0] - epoch),
    )


def _trained(metrics: Sequence[dict[str, Any]]) -> float:
    """Return the seconds of all epochs but the first, below 0 where there is none."""
    return metrics[-1]["seconds"] - metrics[0]["seconds"] if metrics else -1.0


def folder_of(folder: Path, name: str) -> Path:
    """Return the folder of a trial's run."""
    return folder / "trials" / name


def pairs_of(seen: Look, problem: Problem, recipe: Recipe) -> Pairs:
    """Return what rules are compared in, on the problems of all validations."""
    validated_on = problem.hold_out(recipe.held_out).validated_on
    return Pairs(seen, validated_on, plan_of(recipe).validation_key, recipe.steps)
