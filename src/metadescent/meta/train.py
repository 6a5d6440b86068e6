"""Meta-training:  φ ← φ − α ∂L/∂φ, segment by segment of the unroll (section 3).

Each epoch is one compiled program. After it φ is frozen and validated. The best φ by final
validation loss is kept, and training may stop early.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._checks import check_key, check_weights
from metadescent._errors import UserError, require_kind
from metadescent._text import short
from metadescent._tree import is_finite
from metadescent.descent.episode import check_problem
from metadescent.descent.vitals import Vitals
from metadescent.meta.devices import Spread, check_spread, everywhere
from metadescent.meta.epoch import run_epoch
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.schedule import Schedule
from metadescent.meta.state import MetaState, initial_state, is_over
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


class MetaInfo(NamedTuple):
    """Measurements of an epoch.

    `meta_losses` are the mean f(θ_t) in each segment (or the losses that the estimator has in their
    place). They, `gradient_norms` and `phi_steps`, the root mean square of the change of φ, have a
    row for each episode. `validation` is the mean learning curve f(θ_1), f(θ_2), … of the frozen φ,
    and `vitals` are those of the same runs.
    """

    meta_losses: Float[Array, "episodes segments"]
    gradient_norms: Float[Array, "episodes segments"]
    validation: Float[Array, " validation_steps"]
    validation_loss: Float[Array, ""]
    phi_steps: Float[Array, "episodes segments"]
    vitals: Vitals


def meta_train(
    m: LearnedOptimizer,
    problem: Problem,
    schedule: Schedule,
    *,
    meta_optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    estimator: Estimator | None = None,
    weights: Float[Array, " steps"] | None = None,
    state: MetaState | None = None,
    spread: Spread | None = None,
) -> Iterator[tuple[MetaState, MetaInfo]]:
    """Meta-train m on a problem, an epoch at a time.

    Arguments:
        m: the optimizer with its initial φ.
        problem: p(f).
        schedule: lengths and sizes.
        meta_optimizer: the optimizer that updates φ, such as `optax.adam(1e-3)`.
        key: epoch e uses `fold_in(key, e)`, so a resumed run draws what the unbroken one would.
        estimator: of dL/dφ; the paper's, `Truncated()`, if not given.
        weights: w_1 … w_T; 1 for each if not given.
        state: the state to continue from, which this function yielded.
        spread: devices to spread the problems over; the default device has them all if None.
            φ is the same up to the order of summation for any number of devices.

    Yields:
        The state after each epoch, and the epoch's measurements. `state.best` is the result.

    Raises:
        UserError: if the horizon is not a multiple of the unroll, there is not one weight a step,
            an argument is of another kind, or the problems cannot be spread evenly.

    Source: section 3.

    Example:
        >>> import jax, optax
        >>> from metadescent import LSTM, Schedule, Truncated
        >>> from metadescent.problems import Quadratic
        >>> m, problem, keys = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> schedule = Schedule(epochs=2, episodes=3, steps=10, unroll=5)
        >>> adam, bptt = optax.adam(1e-2), Truncated(problems=8)
        >>> run = meta_train(m, problem, schedule, meta_optimizer=adam, key=keys, estimator=bptt)
        >>> [info.meta_losses.shape for state, info in run]
        [(3, 2), (3, 2)]
    """
    hint = "a metadescent.LearnedOptimizer, which has φ to train; try metadescent.LSTM(key=key)"
    require_kind("m", m, LearnedOptimizer, hint)
    require_kind("schedule", schedule, Schedule, "a metadescent.Schedule; try Schedule(epochs=10)")
    schedule.check_horizon()
    if not (hasattr(meta_optimizer, "init") and hasattr(meta_optimizer, "update")):
        raise UserError(
            f"meta_optimizer is {short(meta_optimizer)} and must be one of Optax's; "
            "try optax.adam(1e-3)"
        )
    check_key(key)
    estimator = Truncated() if estimator is None else estimator
    require_kind("estimator", estimator, Estimator, "an estimator; try Truncated()")
    if weights is None:
        weights = jnp.ones(schedule.steps)
    check_weights(weights, schedule.steps)
    if spread is not None:
        check_spread(spread)
    mesh = spread.mesh if spread else None
    if state is None:
        state = initial_state(m, meta_optimizer)
    # The problem goes to the devices once for the run; φ and the keys go before each epoch.
    check_problem(problem)
    parts = everywhere(problem, mesh).hold_out(schedule.held_out)
    while not is_over(state, schedule):
        if spread:
            spread.announce(state)
        epoch = run_epoch(state, parts, schedule, estimator, meta_optimizer, key, weights, mesh)
        (meta_losses, norms, phi_steps), (curve, loss, vitals) = epoch.shown, epoch.validation
        # One round trip to the host an epoch: to choose the best φ.
        before, state = state, _after(state, epoch.m, epoch.average, epoch.meta_optimizer, loss)
        # The meta-optimizer goes back by an epoch, because its moments may not be finite now.
        if schedule.on_nonfinite == "restart-from-best" and not is_finite(epoch.shown):
            state = state._replace(
                m=state.best, average=state.best, meta_optimizer=before.meta_optimizer
            )
        yield state, MetaInfo(meta_losses, norms, curve, loss, phi_steps, vitals)


def _after(
    state: MetaState,
    m: LearnedOptimizer,
    average: LearnedOptimizer,
    meta_optimizer: optax.OptState,
    loss: Float[Array, ""],
) -> MetaState:
    """Return the state after an epoch; a φ with less validation loss becomes the best."""
    epoch = state.epoch + 1
    # A φ that is not finite may have a finite loss, if f ignores some coordinates.
    if bool(jnp.isfinite(loss) & (loss < state.best_loss)) and is_finite(average):
        return MetaState(m, average, meta_optimizer, average, loss, epoch, epoch)
    return state._replace(m=m, average=average, meta_optimizer=meta_optimizer, epoch=epoch)
