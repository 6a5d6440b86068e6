"""What a run keeps in the end: the best of all that was trained, and of what needs no training."""

from dataclasses import replace
from pathlib import Path

from metadescent._files import is_file
from metadescent.problems.base import Problem
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.trial import folder_of
from metadescent.runs.choice.trials import pairs_of
from metadescent.runs.curriculum import keep_optimizer
from metadescent.runs.folder import CONFIG, METRICS, OPTIMIZER, read_config
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe, recipe_from

TRAINED, UNTRAINED = "trained", "as it begins"
"""What is kept, if it is no trial's."""


def keep_best(folder: Path, problem: Problem, journal: Journal) -> None:
    """Make the best φ, in pairs, the folder's: trained, of a trial, or as it begins."""
    recipe = journal.chosen()
    assert recipe is not None
    # Noted before the folder's is replaced: after a stop in between it is not looked for again.
    if journal.get("best") is None:
        journal.put("best", list(_best(folder, problem, journal, recipe)))
    name, r = journal.get("best")
    if name == UNTRAINED:
        _keep_start(folder, journal, replace(recipe, optimizer=_best_start(journal)), r)
    elif name != TRAINED:
        keep_optimizer(folder, folder_of(folder, name) / OPTIMIZER)
    journal.put("kept", [name, r])


def _best(folder: Path, problem: Problem, journal: Journal, recipe: Recipe) -> tuple[str, float]:
    """Return what is best, and its r̄."""
    seen = journal.look()
    assert seen is not None
    pairs = pairs_of(seen, problem, recipe)
    tried = {result.name: result.best for result in journal.trials()}
    begun = replace(recipe, optimizer=_best_start(journal))
    tried[UNTRAINED] = pairs.time_of(plan_of(begun).m)
    if is_file(folder / OPTIMIZER) and is_file(folder / METRICS):
        tried[TRAINED] = pairs.time_of(load(folder))
    # Of two that are equal the one that was trained longer.
    return min(reversed(tried.items()), key=lambda item: item[1])


def repeated(folder: Path, journal: Journal) -> Recipe:
    """Return the recipe that makes what `keep_best` kept; as it begins, what its training had."""
    recipe, name = journal.chosen(), journal.get("kept")[0]
    assert recipe is not None
    for result in journal.trials():
        if result.name == name:
            config = folder_of(folder, name) / CONFIG
            tried = recipe_from(read_config(config.parent)["recipe"], config)
            return replace(tried, epochs=result.epochs)
    return replace(recipe, optimizer=_best_start(journal)) if name == UNTRAINED else recipe


def _best_start(journal: Journal) -> str:
    starts: dict[str, float] = journal.get("starts")
    return min(starts, key=lambda spec: starts[spec])


def _keep_start(folder: Path, journal: Journal, recipe: Recipe, r: float) -> None:
    from metadescent.zoo.file import save

    save(
        folder / OPTIMIZER,
        plan_of(recipe).m,
        optimizer=recipe.optimizer,
        chosen_on=journal.get("asked")["problem"],
        recipe={"optimizer": recipe.optimizer, "seed": recipe.seed},
        budget={"epochs": 0, "meta_steps": 0},
        validation={"loss": r},
    )
