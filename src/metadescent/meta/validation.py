"""A frozen φ on validation problems: its mean learning curve, its end, and its vitals."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import UserError
from metadescent.descent.curves import final_loss
from metadescent.descent.vitals import Vitals, checked_curves
from metadescent.meta.devices import AXIS, on_each
from metadescent.meta.schedule import Schedule
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


class Validation(NamedTuple):
    """The mean learning curve of a frozen φ, its end, and its vitals.

    Example:
        Doing nothing, from θ = 3 on:

        >>> from metadescent.optimizers.partitioned import ByHand
        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.full((), 3.0))
        >>> schedule = Schedule(validation_problems=1, validation_steps=2)
        >>> found = validate(ByHand(optax.sgd(0.0)), f, jax.random.key(0), schedule)
        >>> found.curve.tolist(), float(found.loss), float(found.vitals.start)
        ([9.0, 9.0], 9.0, 9.0)
    """

    curve: Float[Array, " validation_steps"]
    loss: Float[Array, ""]
    vitals: Vitals


@eqx.filter_jit
def validate(
    m: LearnedOptimizer,
    problem: Problem,
    key: PRNGKeyArray,
    schedule: Schedule,
    mesh: Mesh | None = None,
) -> Validation:
    """Return what the schedule's validation says of a frozen φ.

    Spread over the devices of a mesh, vitals are the means of those of each device.

    Raises:
        UserError: if the problems cannot be spread evenly.

    Example:
        >>> from metadescent.optimizers.partitioned import ByHand
        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.ones(()))
        >>> schedule = Schedule(validation_problems=2, validation_steps=3)
        >>> validate(ByHand(optax.sgd(0.25)), f, jax.random.key(0), schedule).curve.tolist()
        [0.25, 0.0625, 0.015625]
    """
    parts = mesh.size if mesh else 1
    if schedule.validation_problems % parts:
        raise UserError(
            f"the {schedule.validation_problems} problems of a validation are no multiple of the "
            f"{parts} devices that share them; try --validation-problems "
            f"{parts * -(-schedule.validation_problems // parts)}"
        )

    def curves_of(problem: Problem, m: LearnedOptimizer, key: PRNGKeyArray) -> tuple[Array, Vitals]:
        return checked_curves(
            m,
            problem,
            key,
            num_steps=schedule.validation_steps or schedule.num_steps,
            num_seeds=schedule.validation_problems // parts,
        )

    def on_one(
        problem: Problem, _: None, m: LearnedOptimizer, key: PRNGKeyArray
    ) -> tuple[Array, Vitals]:
        curves, vitals = curves_of(problem, m, key)
        return jax.lax.pmean((curves.mean(0), vitals), AXIS)

    if mesh is None:
        curves, vitals = curves_of(problem, m, key)
        curve = curves.mean(0)
    else:
        curve, vitals = on_each(mesh, on_one, problem, None, m, key, out=P())
    return Validation(curve, jnp.asarray(final_loss(curve)), vitals)
