"""What a run keeps in the end: the best φ of the training, the trials and the untrained starts."""

import math
from dataclasses import asdict, replace
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
from metadescent.zoo.cards import read_card
from metadescent.zoo.file import save
from metadescent.zoo.tensors import CHECKSUM

WRITTEN = {CHECKSUM, "format", "version", "optimizer"}
"""The entries that `save` itself writes into each card."""
TRAINED, AS_IT_BEGINS = "trained", "as it begins"
"""The names of what is kept if it is not from a trial."""


def keep_best(folder: Path, problem: Problem, journal: Journal) -> None:
    """Make the best φ the folder's, compared in pairs: trained, of a trial, or as it begins."""
    recipe = journal.chosen()
    assert recipe is not None
    # Noted before the folder's optimizer is replaced, so that after a stop it is not chosen again.
    if journal.get("best") is None:
        journal.put("best", list(_best(folder, problem, journal, recipe)))
    name, r = journal.get("best")
    if name == AS_IT_BEGINS:
        _keep_start(folder, journal, replace(recipe, optimizer=_best_start(journal)), r)
    elif name != TRAINED:
        keep_optimizer(folder, folder_of(folder, name) / OPTIMIZER)
    _tell(folder, journal, name, r)
    journal.put("kept", [name, r])


def _tell(folder: Path, journal: Journal, name: str, r: float) -> None:
    """Write into the card of what is kept why it was kept, and the recipe that makes it."""
    path, seen = folder / OPTIMIZER, journal.look()
    assert seen is not None
    card, recipe = read_card(path), repeated(folder, journal, name)
    said = {key: value for key, value in card.items() if key not in WRITTEN}
    ratios = {result.name: result.best for result in journal.trials()} | {name: r}
    said["choice"] = {
        "kept": name,
        "beside": seen.best,
        # JSON has no infinity.
        "steps ÷": {of: x if math.isfinite(x) else None for of, x in ratios.items()},
    }
    if name not in (TRAINED, AS_IT_BEGINS):
        said["recipe"] = asdict(recipe)
    save(path, load(folder), optimizer=card["optimizer"], **said)


def _best(folder: Path, problem: Problem, journal: Journal, recipe: Recipe) -> tuple[str, float]:
    """Return the name of what is best, and its r̄."""
    seen = journal.look()
    assert seen is not None
    pairs = pairs_of(seen, problem, recipe)
    begun = replace(recipe, optimizer=_best_start(journal))
    tried = {AS_IT_BEGINS: pairs.time_of(plan_of(begun).m)}
    if is_file(folder / OPTIMIZER) and is_file(folder / METRICS):
        tried[TRAINED] = pairs.time_of(load(folder))
    tried |= {result.name: result.best for result in journal.trials()}
    # On a tie the trial wins: if the training was never finite, the folder has the trial's φ.
    return min(reversed(tried.items()), key=lambda item: item[1])


def repeated(folder: Path, journal: Journal, kept: str | None = None) -> Recipe:
    """Return the recipe for what `keep_best` kept; if as it begins, the recipe of its training."""
    recipe, name = journal.chosen(), kept or journal.get("kept")[0]
    assert recipe is not None
    for result in journal.trials():
        if result.name == name:
            config = folder_of(folder, name) / CONFIG
            tried = recipe_from(read_config(config.parent)["recipe"], config)
            return replace(tried, epochs=result.epochs)
    return replace(recipe, optimizer=_best_start(journal)) if name == AS_IT_BEGINS else recipe


def _best_start(journal: Journal) -> str:
    starts: dict[str, float] = journal.get("starts")
    return min(starts, key=lambda spec: starts[spec])


def _keep_start(folder: Path, journal: Journal, recipe: Recipe, r: float) -> None:
    save(
        folder / OPTIMIZER,
        plan_of(recipe).m,
        optimizer=recipe.optimizer,
        chosen_on=journal.get("asked")["problem"],
        recipe={"optimizer": recipe.optimizer, "seed": recipe.seed},
        budget={"epochs": 0, "meta_steps": 0},
        validation={"loss": r},
    )
