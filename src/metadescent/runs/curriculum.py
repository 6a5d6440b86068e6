"""A curriculum of horizons: short runs are learned before long ones.

Stages follow each other. Each is a run in a folder of its own, and begins with the best φ of the
stage before. It is validated at the *next* stage's horizon, so that the φ that it keeps is good at
what comes next, and it ends early if that loss no longer improves. If a stage never improved on the
φ that it began with, the curriculum ends with that φ.

Source: Chen et al. (2020), "Training stronger baselines for learning to optimize".
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent.meta.state import MetaState
from metadescent.meta.validation import validate
from metadescent.problems.base import Problem
from metadescent.runs.folder import OPTIMIZER, check_free
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

HORIZONS = (100, 200, 500, 1000, 1500, 2000, 2500, 3000)
"""The horizons of Chen et al. (2020)."""


class Stage(NamedTuple):
    """One run of a curriculum, in a folder of its own."""

    folder: Path
    recipe: Recipe


def stages(
    folder: Path, recipe: Recipe, horizons: Sequence[int], resume: bool = True
) -> list[Stage]:
    """Return the runs that make up a curriculum, each to go on from the one before."""
    if not horizons or list(horizons) != sorted(set(horizons)):
        given = ", ".join(map(str, horizons))
        raise UserError(f"the horizons of a curriculum are {given or 'none'}; try 100,200,500")
    if not recipe.patience:
        # Chen et al.: after three validations, the first that is not the best ends the stage.
        recipe = replace(recipe, patience=1, least_epochs=3)
    for steps in horizons:
        # All folders are checked first, so that none fails after others have been trained.
        check_free(folder / f"steps-{steps}", resume, member=True)
        if steps % recipe.unroll:
            raise UserError(
                f"the horizon of {steps} steps in the curriculum is not a multiple of the unroll "
                f"of {recipe.unroll}; try {max(1, round(steps / recipe.unroll)) * recipe.unroll}"
            )
    in_order: list[Stage] = []
    init = recipe.init
    for index, (steps, next_steps) in enumerate(
        # The last stage is validated at its own horizon.
        zip(horizons, [*horizons[1:], horizons[-1]], strict=True)
    ):
        stage = Stage(
            folder / f"steps-{steps}",
            replace(
                recipe,
                steps=steps,
                validation_steps=next_steps,
                init=init,
                seed=recipe.seed + index,  # so that each stage sees new problems
            ),
        )
        in_order.append(stage)
        init = str(stage.folder)
    return in_order


def improved(stage: Stage, problem: Problem, state: MetaState) -> bool:
    """Tell whether a finished stage did better than the φ that it began with."""
    if stage.recipe.init:
        return float(state.best_loss) < validate_init(stage.recipe, problem)
    # After a fresh draw any φ with a finite loss is an improvement.
    if int(state.best_epoch) == 0:
        raise UserError(
            f"no validation of {stage.folder} at {stage.recipe.validation_steps} steps was finite; "
            f"try --meta-rate {stage.recipe.meta_rate / 3:.1g} or a second horizon that is shorter"
        )
    return True


def keep_optimizer(folder: Path, optimizer: str | Path) -> Path:
    """Copy an optimizer, given by name, file or run folder, into a folder; return its file."""
    path = folder / OPTIMIZER
    write_atomically(path, zoo.path(optimizer).read_bytes())
    return path


def validate_init(recipe: Recipe, problem: Problem) -> float:
    """Return the validation loss that the initial φ of a recipe has in its run."""
    plan = plan_of(recipe)
    validated_on = problem.hold_out(recipe.held_out).validated_on
    return float(validate(plan.m, validated_on, plan.validation_key, recipe).loss)
