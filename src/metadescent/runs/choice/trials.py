"""Choose what to train by short trials: a look, untrained starts, then halving by the clock.

All candidates are compared in pairs, on the same problems, by how fast they reach the levels of
the best baseline (see `pairs`). After the first round only the better half goes on, for longer.
The chosen candidate is trained for the rest of the time. Its meta-rate, which was constant in the
trial, falls from there on. One command without a search repeats this training.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import jax

from metadescent.problems.base import Problem
from metadescent.runs.choice.candidate import Candidate, candidates, common_recipe
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.look import Look, look_at, names_for
from metadescent.runs.choice.pairs import PairedTimes
from metadescent.runs.choice.sizes import sizes_of
from metadescent.runs.choice.trial import Clock, Family, keep_best_so_far, try_out
from metadescent.runs.curriculum import validate_init
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

TRIALS, KEEPING = 0.4, 0.02
"""Shares of the time: for trials, of what the look leaves; and for keeping the best, of all."""
LONGER = 3
"""After the second round a trial has had so many times the seconds of the first in all."""
HOPELESS = 1.5
"""Evolved rules that begin, and trials that end, above so many times the best r are given up."""


class StageReport(Protocol):
    """Where a stage says how far it has come."""

    def __call__(self, text: str, advance: int = 0, part: float | None = None) -> None:
        """Show `text`; `advance` more units are done, and a part of the next."""


Bar = Callable[[str, int], AbstractContextManager[StageReport]]
"""Makes the report of a stage from its title and its number of units."""


def choose(
    folder: Path,
    problem: Problem,
    journal: Journal,
    *,
    bar: Bar,
    data_dir: Path | None = None,
    check: Callable[[str], object] = lambda _: None,
) -> Recipe:
    """Return the recipe for the rest of the time; what the journal has is not done again.

    The folder's optimizer is the best so far. `check` is called with a text on the progress
    whenever all is saved.
    """
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
    tried = [_begun(candidate, problem, journal, bar, spent) for candidate in tried]
    tried = _promising(tried, journal.get("starts"))
    # In the second round half of the candidates have `LONGER` times the seconds of the first.
    second = (len(tried) + 1) // 2
    plan = journal.get("trial_plan")
    if plan is None:
        left = max(0.0, in_all - journal.seconds)
        seconds = TRIALS * left / (len(tried) + (LONGER - 1) * second)
        # Noted once: after a stop less time is left, but the choice has to come out the same.
        plan = {"seconds": seconds, "until": journal.seconds + TRIALS * left}
        journal.put("trial_plan", plan)
    family = Family(folder, problem, journal, pairs, data_dir, spent, check)
    results = {result.name: result for result in _round(family, tried, 1, plan, bar)}
    ranked = sorted(results.values(), key=lambda result: result.best)[:second]
    close = [result.name for result in ranked if result.best <= HOPELESS * ranked[0].best]
    if len(close) > 1:
        by_name = {candidate.name: candidate for candidate in tried}
        # A candidate that there is no time for keeps its result of the first round.
        longer = _round(family, [by_name[name] for name in close], LONGER, plan, bar)
        results |= {result.name: result for result in longer}
    best = min(results.values(), key=lambda result: result.best)
    recipe = next(candidate.recipe for candidate in tried if candidate.name == best.name)
    left = (1 - KEEPING) * in_all - journal.seconds - best.first
    more = max(1, int(left / best.epoch))
    recipe = replace(recipe, epochs=best.epochs + more, decay="cosine", hold=best.epochs)
    journal.choose(best.name, recipe)
    return recipe


def _look(problem: Problem, recipe: Recipe, seconds: float, bar: Bar) -> Look:
    """Tune and run the baselines; they run on the problems that φ will be validated on."""
    tune_key = jax.random.fold_in(plan_of(recipe).key, 1)
    sizes = sizes_of(problem, tune_key, steps=recipe.steps, seconds=seconds)
    with bar("look", 2 * len(names_for(problem))) as report:
        return look_at(
            problem.hold_out(recipe.held_out),
            (tune_key, plan_of(recipe).validation_key),
            steps=recipe.steps,
            sizes=sizes,
            progress=lambda text: report(text, 1),
            within=lambda text, part: report(text, part=part),
        )


def _begun(
    candidate: Candidate, problem: Problem, journal: Journal, bar: Bar, spent: Clock
) -> Candidate:
    """Return a candidate with the best of its starts; each start is validated untrained."""
    starts: dict[str, float] = journal.get("starts") or {}
    new = [spec for spec in candidate.starts if spec not in starts]
    if new:
        with bar(f"start {candidate.name}", len(new)) as report:
            for spec in new:
                r = validate_init(replace(candidate.recipe, optimizer=spec), problem)
                starts[spec] = candidate.as_it_begins(r)
                report(f"{spec}: {r:.3g}", 1)
        journal.put("starts", starts)
        spent.note()
    best = min(candidate.starts, key=lambda spec: starts[spec])
    return candidate._replace(recipe=replace(candidate.recipe, optimizer=best))


def _promising(tried: list[Candidate], starts: dict[str, float]) -> list[Candidate]:
    """Return the candidates without the evolved ones whose start is far behind the best.

    Evolution changes few numbers, and changes them little, so it does not catch up. The best start
    comes first, and then the candidates of which a start says little.
    """
    r = {candidate.name: starts[candidate.recipe.optimizer] for candidate in tried}
    least = min(r.values())
    kept = [c for c in tried if not c.is_evolved or r[c.name] <= HOPELESS * least]
    return sorted(kept, key=lambda c: (r[c.name] > least, c.is_evolved, r[c.name]))


def _round(
    family: Family,
    tried: list[Candidate],
    share: int,
    plan: dict[str, float],
    bar: Bar,
) -> list[Result]:
    """Train each candidate until it has had its seconds of the round, as long as there is time."""
    journal, seconds = family.journal, share * plan["seconds"]
    done: dict[str, Any] = journal.get("trials") or {}
    names = {candidate.name: f"{candidate.name} × {share}" for candidate in tried}
    new = [candidate for candidate in tried if names[candidate.name] not in done]
    if new:
        with bar(f"try {len(new)} for {seconds:.0f} s each", len(new)) as report:
            for candidate in new:
                # The very first candidate is tried however little time is left.
                if done and journal.seconds >= plan["until"]:
                    done = {**done, names[candidate.name]: None}
                    report(f"{candidate.name}: no time", 1)
                else:
                    result = try_out(family, candidate, seconds)
                    done = {**done, names[candidate.name]: result._asdict()}
                    report(f"{candidate.name}: {result.best:.3g}", 1)
                journal.put("trials", done)
                family.spent.note()
                keep_best_so_far(family)
    kept = (done[names[candidate.name]] for candidate in tried)
    return [Result(**result) for result in kept if result is not None]


def pairs_of(seen: Look, problem: Problem, recipe: Recipe) -> PairedTimes:
    """Return how rules are compared in pairs, on the problems of all validations."""
    validated_on = problem.hold_out(recipe.held_out).validated_on
    return PairedTimes(seen, validated_on, plan_of(recipe).validation_key, recipe.steps)
