"""What a run will take, before it starts: the form of its meta-gradient that fits the memory."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax

from metadescent._errors import UserError
from metadescent._text import format_bytes
from metadescent.meta.devices import Spread
from metadescent.meta.epoch import footprint
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import forms
from metadescent.meta.state import is_over
from metadescent.problems.base import Problem
from metadescent.runs.checkpoint import load_checkpoint
from metadescent.runs.folder import CHECKPOINTS, check_folder, check_free
from metadescent.runs.log import CONFIG, read_config, recipe_from
from metadescent.runs.memory import Prediction, available, remedies, resident
from metadescent.runs.plan import Plan, plan_of


def fitted(
    folder: Path,
    problem: Problem,
    problem_name: str,
    plan: Plan,
    *,
    resume: bool,
    say: Callable[[str], object],
    budget: int | float = math.inf,
    spread: Spread | None = None,
) -> Plan:
    """Return the plan in the first form that fits the budget, having said what that will take.

    Raises:
        UserError: if none does, or where `train` could not start.
    """
    check_free(folder, resume)
    tried: list[tuple[Prediction, Plan]] = []
    for candidate in _candidates(folder, plan, pick=budget < math.inf):
        prediction = predict(folder, problem, problem_name, candidate, resume=resume, spread=spread)
        if prediction is None:
            return candidate
        if prediction.peak <= budget:
            _say(prediction, candidate, say)
            return candidate
        tried.append((prediction, candidate))
        if prediction.held + prediction.validation > budget:
            break  # No form changes these.
    least, candidate = min(tried, key=lambda pair: pair[0].peak)
    tries = [_budget_flag(1.1 * least.peak), *remedies(least, budget, candidate.recipe)]
    raise UserError(
        f"the memory budget is {format_bytes(budget)} and the leanest form tried, {least.form}, is "
        f"predicted to peak at {format_bytes(least.peak)}, {_share(least)}; try "
        + " or ".join(tries)
    )


def _candidates(folder: Path, plan: Plan, *, pick: bool) -> list[Plan]:
    """Return the plan in the forms that a run may take.

    That is the form that the recipe names, or else the one that the run in the folder began with,
    or else, where one is to be picked, all that suit, the quickest first.
    """
    recipe = plan.recipe
    if recipe.form != "auto":
        return [plan]
    if (folder / CONFIG).exists():
        begun = recipe_from(read_config(folder)["recipe"], folder / CONFIG)
        return [plan_of(replace(recipe, form=begun.form))]
    if not pick or not isinstance(plan.estimator, Truncated):
        return [plan]
    suited = forms(plan.m, recipe.second_derivatives, plan.estimator.log)
    return [plan_of(replace(recipe, form=form)) for form in suited]


def predict(
    folder: Path,
    problem: Problem,
    problem_name: str,
    plan: Plan,
    *,
    resume: bool,
    spread: Spread | None = None,
) -> Prediction | None:
    """Return what `train` with the same arguments will take; None if nothing is left to do.

    This compiles the programs of the run, which `train` then finds compiled. It writes nothing.

    Raises:
        UserError: where `train` could not start.
    """
    check_folder(folder, problem_name, plan.recipe, resume)
    state = plan.initial_state
    state = load_checkpoint(folder / CHECKPOINTS, state, warn=lambda _: None) or state
    if is_over(state, plan.recipe):
        return None
    epoch, validation = footprint(
        state, problem, plan.recipe, plan.estimator, plan.meta_optimizer, spread
    )
    device = jax.local_devices()[0].memory_stats()
    if device:
        limit = device["bytes_limit"]
        return Prediction(plan.form, device["bytes_in_use"], epoch, validation, limit)
    # A CPU's memory is the process's own, and that of all its devices.
    held = resident()
    if spread:
        epoch, validation = (len(spread.mesh.local_devices) * x for x in (epoch, validation))
    return Prediction(plan.form, held, epoch, validation, available(held))


def _say(prediction: Prediction, plan: Plan, say: Callable[[str], object]) -> None:
    """Tell what a run will take and, where that is more than there is, what to change."""
    least = prediction.available
    there = "" if least == math.inf else f", {format_bytes(least)} available"
    say(f"Predicted peak memory {format_bytes(prediction.peak)} ({prediction.form}){there}.")
    if prediction.peak <= least:
        return
    tries = remedies(prediction, least, plan.recipe)
    if plan.recipe.form == "auto" and prediction.program == "the meta-gradient":
        tries = [_budget_flag(0.9 * least), *tries]
    say(
        f"Warning: that is more than there is, {_share(prediction)}; "
        f"try {' or '.join(tries or ['a machine with more'])}."
    )


def _share(prediction: Prediction) -> str:
    size = format_bytes(max(prediction.epoch, prediction.validation))
    return f"{size} of it for {prediction.program}"


def _budget_flag(size: int | float) -> str:
    return f"--memory-budget {format_bytes(size).replace(' ', '')}"
