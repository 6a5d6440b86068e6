"""What a run keeps in the end: the best of all that was trained, and of what needs no training."""

import math
from dataclasses import replace
from pathlib import Path

from metadescent._files import is_file
from metadescent.problems.base import Problem
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.trials import folder_of, pairs_of
from metadescent.runs.curriculum import keep_optimizer
from metadescent.runs.folder import OPTIMIZER
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe


def keep_best(folder: Path, problem: Problem, journal: Journal) -> tuple[str, float]:
    """Make the best φ, in pairs, the folder's: trained, of a trial, or as it begins."""
    recipe, seen = journal.chosen(), journal.look()
    assert recipe is not None
    assert seen is not None
    pairs = pairs_of(seen, problem, recipe)
    best = ("trained", math.inf)
    if is_file(folder / OPTIMIZER):
        best = ("trained", pairs.time_of(load(folder)))
    for result in journal.trials():
        if result.best < best[1]:
            best = (result.name, result.best)
    if best[0] != "trained":
        keep_optimizer(folder, folder_of(folder, best[0]) / OPTIMIZER)
    begun = replace(recipe, optimizer=_best_start(journal), epochs=1)
    r = pairs.time_of(plan_of(begun).m)
    if r < best[1]:
        _keep_start(folder, journal, begun, r)
        best = ("as it begins", r)
    journal.put("kept", list(best))
    return best


def untrained(journal: Journal) -> Recipe:
    """Return the recipe of what `keep_best` kept, whose optimizer is the one that it began as."""
    recipe, name = journal.chosen(), journal.get("kept")[0]
    assert recipe is not None
    specs = {result.name: result.optimizer for result in journal.trials()}
    specs["as it begins"] = _best_start(journal)
    return replace(recipe, optimizer=specs.get(name, recipe.optimizer))


def _best_start(journal: Journal) -> str:
    starts: dict[str, float] = journal.get("starts")
    return min(starts, key=lambda spec: starts[spec])


def _keep_start(folder: Path, journal: Journal, recipe: Recipe, r: float) -> None:
    from metadescent.zoo.file import save

    save(
        folder / OPTIMIZER,
        plan_of(recipe).m,
        optimizer=recipe.optimizer,
        trained_on=journal.get("asked")["problem"],
        recipe={"optimizer": recipe.optimizer, "seed": recipe.seed},
        budget={"epochs": 0, "meta_steps": 0},
        validation={"loss": r},
    )
