"""What a run will need, before it starts: the form of its meta-gradient that fits the memory."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax

from metadescent._errors import UserError
from metadescent._text import format_bytes
from metadescent.descent.outside import LOOKED_AT, check_start, try_rule
from metadescent.meta.devices import Spread
from metadescent.meta.epoch import footprint
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import forms
from metadescent.meta.state import is_over
from metadescent.problems.base import Problem
from metadescent.runs.checkpoint import load_checkpoint
from metadescent.runs.folder import CHECKPOINTS, CONFIG, check_folder, check_free, read_config
from metadescent.runs.memory import available, resident
from metadescent.runs.origin import check_origin, origin_of
from metadescent.runs.plan import Plan, plan_of
from metadescent.runs.recipe import Recipe, recipe_from


class Prediction(NamedTuple):
    """What a run is predicted to need, in bytes.

    form        how the meta-gradient is computed
    held        what the process holds before the first epoch
    epoch       what the program of an epoch adds to that
    validation  what the program of a validation adds, when it is its turn
    available   how much the process may hold in all, infinite where that is not known
    """

    form: str
    held: int
    epoch: int
    validation: int
    available: int | float

    @property
    def peak(self) -> int:
        """Return the most that the process will hold at once."""
        return self.held + max(self.epoch, self.validation)

    @property
    def program(self) -> str:
        """Say which of the two programs takes more."""
        return "validation" if self.validation > self.epoch else "the meta-gradient"


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
    """Return the plan in the first form that fits the budget; say what the run will need."""
    check_free(folder, resume)
    _ = plan.initial_state  # read for its error
    try_rule(plan.m, problem)
    if plan.recipe.on_nonfinite == "stop":
        check_start(problem, plan.key, min(LOOKED_AT, plan.recipe.validation_problems))
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
            break  # other forms do not change these
    leanest, candidate = min(tried, key=lambda pair: pair[0].peak)
    tries = [_budget_flag(1.1 * leanest.peak), *remedies(leanest, budget, candidate.recipe)]
    raise UserError(
        f"the memory budget is {format_bytes(budget)} and the leanest form tried, {leanest.form}, "
        f"is predicted to peak at {format_bytes(leanest.peak)}, {_share(leanest)}; try "
        + " or ".join(tries)
    )


def _candidates(folder: Path, plan: Plan, *, pick: bool) -> list[Plan]:
    """Return the plan in each form that the run may take, the quickest first."""
    recipe = plan.recipe
    if recipe.form != "auto":
        return [plan]
    if (folder / CONFIG).exists():
        # A run that was begun keeps its form, however much memory there is now.
        begun = recipe_from(read_config(folder)["recipe"], folder / CONFIG)
        return [plan_of(replace(recipe, form=begun.form))]
    if not pick or not isinstance(plan.estimator, Truncated):
        return [plan]
    suited = forms(plan.m, recipe.second_derivatives)
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
    """Return what `train` with the same arguments will need; None if nothing is left to do.

    This compiles the run's programs, so that `train` need not, and writes nothing.
    """
    check_folder(folder, problem_name, plan.recipe, resume)
    if (folder / CONFIG).exists():
        origin = origin_of(problem, plan.m, plan.estimator, plan.recipe.unroll)
        check_origin(folder, origin, warn=lambda _: None)
    state = plan.initial_state
    # No warnings here: `train` will warn of a damaged checkpoint, and of other versions.
    state = load_checkpoint(folder / CHECKPOINTS, state, warn=lambda _: None) or state
    if is_over(state, plan.recipe):
        return None
    epoch, validation = footprint(
        state, problem, plan.recipe, plan.estimator, plan.meta_optimizer, spread
    )
    device = jax.local_devices()[0].memory_stats()  # None on a CPU
    if device:
        limit = device["bytes_limit"]
        return Prediction(plan.form, device["bytes_in_use"], epoch, validation, limit)
    # On a CPU the devices share the memory of the process.
    held = resident()
    if spread:
        epoch, validation = (len(spread.mesh.local_devices) * x for x in (epoch, validation))
    return Prediction(plan.form, held, epoch, validation, available(held))


def remedies(prediction: Prediction, limit: int | float, recipe: Recipe) -> list[str]:
    """Return flags that probably bring a run below a limit, for the program that needs more."""
    # The tenth is a reserve: not all of the memory is proportional to these numbers.
    share = 0.9 * (limit - prediction.held) / (prediction.peak - prediction.held)
    if prediction.program == "validation":
        sizes = {"validation-problems": int(share * recipe.validation_problems)}
    else:
        # An unroll has to divide the horizon.
        unrolls = range(1, int(share * recipe.unroll) + 1)
        sizes = {
            "problems": int(share * recipe.problems),
            "unroll": max((n for n in unrolls if recipe.steps % n == 0), default=0),
        }
    return [f"--{flag} {size}" for flag, size in sizes.items() if size > 0]


def _say(prediction: Prediction, plan: Plan, say: Callable[[str], object]) -> None:
    """Tell what a run will need and, if that is too much, what to change."""
    limit = prediction.available
    of = "" if limit == math.inf else f", {format_bytes(limit)} available"
    say(f"Predicted peak memory {format_bytes(prediction.peak)} ({prediction.form}){of}.")
    if prediction.peak <= limit:
        return
    tries = remedies(prediction, limit, plan.recipe)
    # Another form would only help if the meta-gradient is what needs more.
    if plan.recipe.form == "auto" and prediction.program == "the meta-gradient":
        tries = [_budget_flag(0.9 * limit), *tries]
    say(
        f"Warning: that is more than there is, {_share(prediction)}; "
        f"try {' or '.join(tries or ['a machine with more'])}."
    )


def _share(prediction: Prediction) -> str:
    size = format_bytes(max(prediction.epoch, prediction.validation))
    return f"{size} of it for {prediction.program}"


def _budget_flag(size: int | float) -> str:
    return f"--memory-budget {format_bytes(size).replace(' ', '')}"
