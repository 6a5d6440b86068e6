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

    Example:
        >>> from metadescent.optimizers.lstm import LSTM
        >>> m = LSTM((4,), key=jax.random.key(0))
        >>> state = initial_state(m, optax.adam(1e-3))
        >>> state.best is m, float(state.best_loss), int(state.epoch)
        (True, inf, 0)
    """

    m: LearnedOptimizer
    average: LearnedOptimizer
    meta_optimizer: PyTree
    best: LearnedOptimizer
    best_loss: Float[Array, ""]
    best_epoch: Int[Array, ""]
    epoch: Int[Array, ""]


def initial_state(m: LearnedOptimizer, meta_optimizer: optax.GradientTransformation) -> MetaState:
    """Return the state before the first epoch; also the template that a checkpoint is read into.

    Raises:
        UserError: if m has no φ.

    Example:
        >>> from metadescent.optimizers.partitioned import ByHand
        >>> initial_state(ByHand(optax.adam(0.1)), optax.adam(1e-3))
        Traceback (most recent call last):
        metadescent.UserError: the optimizer has no parameters φ to train; try lstm, ...
    """
    phi = eqx.filter(m, eqx.is_inexact_array)
    if not jax.tree.leaves(phi):
        raise UserError("the optimizer has no parameters φ to train; try lstm, or tune its rate")
    opt_state = meta_optimizer.init(phi)
    zero = jnp.asarray(0)
    return MetaState(m, m, opt_state, m, jnp.asarray(jnp.inf), zero, zero)


def is_over(state: MetaState, schedule: Schedule) -> bool:
    """Tell whether a run has nothing left to do: no epoch, or no patience.

    Example:
        >>> from metadescent.optimizers.lstm import LSTM
        >>> state = initial_state(LSTM((4,), key=jax.random.key(0)), optax.adam(1e-3))
        >>> state = state._replace(epoch=jnp.asarray(7), best_epoch=jnp.asarray(4))
        >>> [is_over(state, Schedule(epochs=10, patience=patience)) for patience in (0, 3, 4)]
        [False, True, False]
    """
    epoch = int(state.epoch)
    out_of_patience = 0 < schedule.patience <= epoch - int(state.best_epoch)
    return epoch >= schedule.epochs or (out_of_patience and epoch >= schedule.least_epochs)


def is_finite(tree: PyTree) -> bool:
    """Tell whether all numbers of a pytree are finite.

    Example:
        >>> is_finite({"a": jnp.ones(2)}), is_finite({"a": jnp.asarray([1.0, jnp.nan])})
        (True, False)
    """
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)
