"""A curriculum of horizons: learn to run short before learning to run long.

One stage after the other, each a run in a folder of its own that begins with the best φ of the one
before. A stage is validated at the *next* stage's horizon, so that what it keeps is what will be
needed, and ends early where that has ceased to improve. Where a stage never improved on the φ that
it began with, the curriculum ends with that φ.

Source: Chen et al. (2020), "Training stronger baselines for learning to optimize".
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent.meta.state import MetaState
from metadescent.meta.validation import validate
from metadescent.problems.base import Problem
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

HORIZONS = (100, 200, 500, 1000, 1500, 2000, 2500, 3000)
"""Those of Chen et al. (2020)."""


class Stage(NamedTuple):
    """One run of a curriculum, in a folder of its own.

    Example:
        >>> first, second = stages(Path("runs/x"), Recipe(), (100, 200))
        >>> second.recipe.init == str(first.folder)
        True
    """

    folder: Path
    recipe: Recipe


def stages(folder: Path, recipe: Recipe, horizons: Sequence[int]) -> list[Stage]:
    """Return the runs that make up a curriculum.

    A recipe without patience of its own gets that of Chen et al. (2020): after three validations,
    the first that is not the best ends the stage.

    Raises:
        UserError: if the horizons do not increase, or one is no multiple of the unroll.

    Example:
        >>> for stage in stages(Path("runs/x"), Recipe(epochs=10), (100, 200)):
        ...     recipe = stage.recipe
        ...     print(stage.folder.name, recipe.steps, recipe.validation_steps, recipe.init)
        steps-100 100 200
        steps-200 200 200 runs/x/steps-100
    """
    if not horizons or list(horizons) != sorted(set(horizons)):
        given = ", ".join(map(str, horizons))
        raise UserError(f"the horizons of a curriculum are {given or 'none'}; try 100,200,500")
    if not recipe.patience:
        recipe = replace(recipe, patience=1, least_epochs=3)
    for steps in horizons:
        if steps % recipe.unroll:
            raise UserError(
                f"the horizon of {steps} steps in the curriculum is not a multiple of the unroll "
                f"of {recipe.unroll}; try {max(1, round(steps / recipe.unroll)) * recipe.unroll}"
            )
    found: list[Stage] = []
    for index, (steps, following) in enumerate(
        zip(horizons, [*horizons[1:], horizons[-1]], strict=True)
    ):
        found.append(
            Stage(
                folder / f"steps-{steps}",
                replace(
                    recipe,
                    steps=steps,
                    validation_steps=following,
                    init=str(found[-1].folder) if found else recipe.init,
                    seed=recipe.seed + index,
                ),
            )
        )
    return found


def improved(stage: Stage, problem: Problem, state: MetaState) -> bool:
    """Return whether a finished stage did better than the φ that it began with.

    Raises:
        UserError: if it began with a fresh draw of φ and no validation was finite.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from metadescent.meta.state import initial_state
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> stage = Stage(Path("runs/x/steps-100"), Recipe(validation_steps=200))
        >>> state = initial_state(LSTM((4,), key=jax.random.key(0)), optax.adam(1e-3))
        >>> improved(stage, Quadratic(), state._replace(best_epoch=jnp.asarray(2)))
        True
        >>> improved(stage, Quadratic(), state)
        Traceback (most recent call last):
        metadescent.UserError: no validation of runs/x/steps-100 at 200 steps was finite; ...
    """
    if stage.recipe.init:
        return float(state.best_loss) < validate_init(stage.recipe, problem)
    if int(state.best_epoch) == 0:
        raise UserError(
            f"no validation of {stage.folder} at {stage.recipe.validation_steps} steps was finite; "
            f"try --meta-rate {stage.recipe.meta_rate / 3:.1g} or a second horizon that is shorter"
        )
    return True


def keep(folder: Path, optimizer: str | Path) -> Path:
    """Make an optimizer, given by its name, file or run folder, the curriculum's.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = keep(Path(folder), "mnist-lstm")
        ...     kept.name, zoo.load(folder).layers
        ('optimizer.safetensors', (20, 20))
    """
    kept = folder / "optimizer.safetensors"
    write_atomically(kept, zoo.path(optimizer).read_bytes())
    return kept


def validate_init(recipe: Recipe, problem: Problem) -> float:
    """Return the validation loss, in the run of a recipe, of the φ that it starts from."""
    plan = plan_of(recipe)
    validation_key, _ = jax.random.split(plan.key)
    return float(validate(plan.m, problem, validation_key, recipe).loss)
