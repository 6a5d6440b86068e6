"""What a run will take, before it starts: the form of its meta-gradient that fits the memory."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import jax

from metadescent import memory, runs
from metadescent._errors import UserError
from metadescent._text import format_bytes
from metadescent.checkpoint import load_checkpoint
from metadescent.logs import CONFIG, read_config, recipe_from
from metadescent.memory import Prediction, remedies
from metadescent.meta.devices import Spread
from metadescent.meta.epoch import footprint
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import forms
from metadescent.meta.schedule import check_schedule
from metadescent.meta.state import initial_state, is_over
from metadescent.problems.base import Problem
from metadescent.recipe import Recipe


def fitted(
    folder: Path,
    problem: Problem,
    problem_name: str,
    recipe: Recipe,
    *,
    resume: bool,
    budget: int | float = math.inf,
    spread: Spread | None = None,
) -> Recipe:
    """Return the recipe in the first form that fits the budget, having said what that will take.

    Raises:
        UserError: if none does, or where `runs.train` could not start.
    """
    runs.check_free(folder, resume)
    tried: list[tuple[Prediction, Recipe]] = []
    for candidate in candidates(folder, recipe, pick=budget < math.inf):
        found = predict(folder, problem, problem_name, candidate, resume=resume, spread=spread)
        if found is None:
            return candidate
        if found.peak <= budget:
            _say(found, candidate)
            return candidate
        tried.append((found, candidate))
        if found.held + found.validation > budget:
            break  # No form changes these.
    least, candidate = min(tried, key=lambda pair: pair[0].peak)
    tries = [_budget_flag(1.1 * least.peak), *remedies(least, budget, candidate)]
    raise UserError(
        f"the memory budget is {format_bytes(budget)} and the leanest form tried, {least.form}, is "
        f"predicted to peak at {format_bytes(least.peak)}, {_share(least)}; try "
        + " or ".join(tries)
    )


def candidates(folder: Path, recipe: Recipe, *, pick: bool) -> list[Recipe]:
    """Return the recipe in the forms that a run may take.

    That is the form that the recipe names, or else the one that the run in the folder began with,
    or else, where one is to be picked, all that suit, the quickest first.
    """
    if recipe.form != "auto":
        return [recipe]
    if (folder / CONFIG).exists():
        begun = recipe_from(read_config(folder)["recipe"], folder / CONFIG)
        return [replace(recipe, form=begun.form)]
    if not pick:
        return [recipe]
    if not isinstance(runs.schedule_of(recipe).estimator, Truncated):
        return [recipe]
    suited = forms(runs.initial_optimizer(recipe), recipe.second_derivatives)
    return [replace(recipe, form=form) for form in suited]


def predict(
    folder: Path,
    problem: Problem,
    problem_name: str,
    recipe: Recipe,
    *,
    resume: bool,
    spread: Spread | None = None,
) -> Prediction | None:
    """Return what `runs.train` with the same arguments will take; None if nothing is left to do.

    This compiles the programs of the run, which `runs.train` then finds compiled. It writes
    nothing.

    Raises:
        UserError: where `runs.train` could not start.
    """
    schedule, meta_optimizer = runs.schedule_of(recipe), runs.meta_optimizer_of(recipe)
    check_schedule(schedule)
    m = runs.initial_optimizer(recipe)
    form = runs.form_of(m, recipe)
    runs.check_folder(folder, problem_name, recipe, resume)
    state = initial_state(m, meta_optimizer)
    state = load_checkpoint(folder / "checkpoints", state, warn=lambda _: None) or state
    if is_over(state, schedule):
        return None
    epoch, validation = footprint(
        state, problem, schedule, meta_optimizer=meta_optimizer, spread=spread
    )
    device = jax.local_devices()[0].memory_stats()
    if device:
        return Prediction(form, device["bytes_in_use"], epoch, validation, device["bytes_limit"])
    # A CPU's memory is the process's own, and that of all its devices.
    held = memory.resident()
    if spread:
        epoch, validation = (len(spread.mesh.local_devices) * x for x in (epoch, validation))
    return Prediction(form, held, epoch, validation, memory.available(held))


def _say(found: Prediction, recipe: Recipe) -> None:
    """Print what a run will take and, where that is more than there is, what to change."""
    there = "" if found.available == math.inf else f", {format_bytes(found.available)} available"
    print(
        f"Predicted peak memory {format_bytes(found.peak)} ({found.form}){there}.", file=sys.stderr
    )
    if found.peak <= found.available:
        return
    tries = remedies(found, found.available, recipe)
    if recipe.form == "auto" and found.program == "the meta-gradient":
        tries = [_budget_flag(0.9 * found.available), *tries]
    print(
        f"Warning: that is more than there is, {_share(found)}; "
        f"try {' or '.join(tries or ['a machine with more'])}.",
        file=sys.stderr,
    )


def _share(found: Prediction) -> str:
    return f"{format_bytes(max(found.epoch, found.validation))} of it for {found.program}"


def _budget_flag(size: int | float) -> str:
    return f"--memory-budget {format_bytes(size).replace(' ', '')}"
