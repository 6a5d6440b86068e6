"""A frozen φ on validation problems: its mean learning curve, its final loss, and its vitals."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError
from metadescent._levels import Level
from metadescent.descent.curves import final_loss
from metadescent.descent.levels import relative_time
from metadescent.descent.vitals import Vitals, checked_curves
from metadescent.meta.devices import AXIS, on_each
from metadescent.meta.schedule import Schedule
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


class Validation(NamedTuple):
    """The mean learning curve of a frozen φ, its final loss or time to levels, and its vitals."""

    curve: Float[Array, " validation_steps"]
    loss: Float[Array, ""]
    vitals: Vitals


def validate(
    m: LearnedOptimizer,
    problem: Problem,
    key: PRNGKeyArray,
    schedule: Schedule,
    mesh: Mesh | None = None,
) -> Validation:
    """Return the validation of a frozen φ by a schedule; vitals are means over devices."""
    return compiled_validation(m, problem, key, *validation_sizes(schedule), mesh)


def validation_sizes(schedule: Schedule) -> tuple[int, int, tuple[Level, ...]]:
    """Return steps, problems and levels of a validation: all that its program depends on."""
    steps = schedule.validation_steps or schedule.steps
    return steps, schedule.validation_problems, schedule.level_table


@eqx.filter_jit
def compiled_validation(
    m: LearnedOptimizer,
    problem: Problem,
    key: PRNGKeyArray,
    num_steps: int,
    num_problems: int,
    levels: tuple[Level, ...],
    mesh: Mesh | None,
) -> Validation:
    """Return the same as `validate`; validations of the same sizes share one program."""
    parts = mesh.size if mesh else 1
    if num_problems % parts:
        raise UserError(
            f"the {num_problems} problems of a validation are no multiple of the "
            f"{parts} devices that share them; try --validation-problems "
            f"{parts * -(-num_problems // parts)}"
        )

    def curves_of(problem: Problem, m: LearnedOptimizer, key: PRNGKeyArray) -> tuple[Array, Vitals]:
        return checked_curves(m, problem, key, num_steps=num_steps, num_seeds=num_problems // parts)

    def on_one(
        problem: Problem, _: None, m: LearnedOptimizer, key: PRNGKeyArray
    ) -> tuple[Array, Vitals]:
        curves, vitals = curves_of(problem, m, key)
        # Parts are of equal size, so a mean of means is the mean.
        return jax.lax.pmean((curves.mean(0), vitals), AXIS)

    if mesh is None:
        curves, vitals = curves_of(problem, m, key)
        curve = curves.mean(0)
    else:
        curve, vitals = on_each(mesh, on_one, problem, None, m, key, out=P())
    # The mean over the last tenth of the steps, as for baselines.
    loss = relative_time(curve, levels) if levels else jnp.asarray(final_loss(curve))
    return Validation(curve, loss, vitals)
