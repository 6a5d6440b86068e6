"""All that a meta-training run carries, and when it ends: early stopping."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from metadescent._errors import UserError
from metadescent.meta.schedule import Schedule
from metadescent.optimizers.base import LearnedOptimizer


class MetaState(NamedTuple):
    """All that a meta-training run carries; saving it is saving the run.

    `average` is the moving average of φ that is validated. `best` is the average with the least
    validation loss so far, `best_loss`, which it had after `best_epoch` epochs. `epoch` epochs have
    been done.
    """

    m: LearnedOptimizer
    average: LearnedOptimizer
    meta_optimizer: PyTree
    best: LearnedOptimizer
    best_loss: Float[Array, ""]
    best_epoch: Int[Array, ""]
    epoch: Int[Array, ""]

    def __repr__(self) -> str:
        # A NamedTuple's own text would have every array in full.
        parts = (f"{name}={eqx.tree_pformat(value)}" for name, value in self._asdict().items())
        return f"MetaState({', '.join(parts)})"


def initial_state(m: LearnedOptimizer, meta_optimizer: optax.GradientTransformation) -> MetaState:
    """Return the state before the first epoch; also the template that a checkpoint is read into."""
    phi = eqx.filter(m, eqx.is_inexact_array)
    if not jax.tree.leaves(phi):
        raise UserError("the optimizer has no parameters φ to train; try lstm, or tune its rate")
    zero = jnp.asarray(0)
    # Any finite validation loss is better than none.
    return MetaState(m, m, meta_optimizer.init(phi), m, jnp.asarray(jnp.inf), zero, zero)


def is_over(state: MetaState, schedule: Schedule) -> bool:
    """Tell whether a run has nothing left to do, because no epoch or no patience is left."""
    epoch = int(state.epoch)
    # A patience of 0 never runs out.
    out_of_patience = 0 < schedule.patience <= epoch - int(state.best_epoch)
    return epoch >= schedule.epochs or (out_of_patience and epoch >= schedule.least_epochs)
