"""Meta-training:  φ ← φ − α ∂L/∂φ, segment by segment of the unroll (section 3).

An *episode* optimizes a fresh batch of problems for `num_steps` steps and updates φ after each
`unroll` of them. An *epoch* is a number of episodes, one compiled program, after which φ is frozen
and validated. The best φ by final validation loss is kept, and training may stop early.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._checks import check_key, check_weights
from metadescent._errors import UserError, require, require_choice, require_kind
from metadescent._text import short
from metadescent.descent.curves import final_loss
from metadescent.descent.vitals import Vitals, checked_curves
from metadescent.estimator import Estimator
from metadescent.estimators.truncated import Truncated
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.recipe import OnNonfinite
from metadescent.spread import AXIS, OnEach, Spread, check_spread, everywhere, here, on_each


class Schedule(NamedTuple):
    """How long, in which pieces, and by which estimate of the meta-gradient to meta-train.

    An epoch is `episodes` episodes of `num_steps` steps, with an update of φ after each `unroll` of
    them, by what `estimator` makes of it. φ is validated on `validation_problems` problems for
    `validation_steps` steps, or for `num_steps` if that is 0. `patience` epochs without a better
    validation loss end the training, though not before `least_epochs` of them; a patience of 0
    means never. `average` is the decay, per update of φ, of the moving average of φ that is
    validated and kept; 0, the paper's recipe, validates φ itself.

    `on_nonfinite` is what follows a meta-step whose loss, meta-gradient or change of φ is NaN or
    infinite. With "skip", φ and what the meta-optimizer carries stay as they were before it. With
    "restart-from-best" the epoch runs to its end, and the next one begins with the best φ so far
    and with what the meta-optimizer carried before. With "stop" nothing is done here: `MetaInfo`
    shows it, and the caller stops.

    Source: section 3.

    Example:
        >>> Schedule(epochs=3, episodes=5, num_steps=20, unroll=10).updates
        30
    """

    epochs: int = 100
    episodes: int = 20
    num_steps: int = 100
    unroll: int = 20
    validation_problems: int = 64
    validation_steps: int = 0
    patience: int = 0
    least_epochs: int = 0
    average: float = 0.0
    on_nonfinite: OnNonfinite = "stop"
    estimator: Estimator = Truncated()

    @property
    def updates(self) -> int:
        """Return the number of updates of φ in the whole run."""
        return self.epochs * self.episodes * (self.num_steps // self.unroll)


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


class MetaInfo(NamedTuple):
    """What an epoch had to show.

    `meta_losses`, the mean f(θ_t) in each segment (or what the estimator has in its place), and
    `gradient_norms` have a row an episode, and so have `phi_steps`, the root mean square of the
    change of φ; `validation` is the mean learning curve f(θ_1), f(θ_2), … of the frozen φ, and
    `vitals` are those of the same runs.

    Example:
        Three episodes of two segments, and a validation of ten steps:

        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.from_function import FromFunction
        >>> m = LSTM((), p=None, key=jax.random.key(0))
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.ones(()))
        >>> schedule = Schedule(episodes=3, num_steps=10, unroll=5, validation_problems=1)
        >>> sgd, key = optax.sgd(0.1), jax.random.key(1)
        >>> _, info = next(meta_train(m, f, schedule, meta_optimizer=sgd, key=key))
        >>> info.meta_losses.shape, info.validation.shape, bool(info.gradient_norms.min() > 0)
        ((3, 2), (10,), True)
    """

    meta_losses: Float[Array, "episodes segments"]
    gradient_norms: Float[Array, "episodes segments"]
    validation: Float[Array, " validation_steps"]
    validation_loss: Float[Array, ""]
    phi_steps: Float[Array, "episodes segments"]
    vitals: Vitals


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


def meta_train(
    m: LearnedOptimizer,
    problem: Problem,
    schedule: Schedule,
    *,
    meta_optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    weights: Float[Array, " num_steps"] | None = None,
    state: MetaState | None = None,
    spread: Spread | None = None,
) -> Iterator[tuple[MetaState, MetaInfo]]:
    """Meta-train m on a problem, an epoch at a time.

    Arguments:
        m: the optimizer with its initial φ.
        problem: p(f).
        schedule: lengths and sizes.
        meta_optimizer: what updates φ, such as `optax.adam(1e-3)`.
        key: epoch e uses `fold_in(key, e)`, so a resumed run draws what the unbroken one would.
        weights: w_1 … w_T; 1 for each if not given.
        state: where to go on from; a state that this function yielded.
        spread: devices to spread the problems over; the default device has them all if None.
            φ is the same up to the order of summation, whatever their number.

    Yields:
        The state after each epoch, and what the epoch had to show. `state.best` is the result.

    Raises:
        UserError: if the horizon is not a multiple of the unroll, a number of the schedule means
            nothing, there is not one weight a step, an argument is of another kind, or the problems
            cannot be spread evenly.

    Source: section 3.

    Example:
        >>> import jax, optax
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m = LSTM((4,), key=jax.random.key(0))
        >>> from metadescent.estimators.truncated import Truncated
        >>> bptt = Truncated(problems=8)
        >>> schedule = Schedule(epochs=2, episodes=3, num_steps=10, unroll=5, estimator=bptt)
        >>> run = meta_train(
        ...     m, Quadratic(), schedule, meta_optimizer=optax.adam(1e-2), key=jax.random.key(1)
        ... )
        >>> [info.meta_losses.shape for state, info in run]
        [(3, 2), (3, 2)]
    """
    hint = "a metadescent.LearnedOptimizer, which has φ to train; try metadescent.LSTM(key=key)"
    require_kind("m", m, LearnedOptimizer, hint)
    require_kind("schedule", schedule, Schedule, "a metadescent.Schedule; try Schedule(epochs=10)")
    check_schedule(schedule)
    if not (hasattr(meta_optimizer, "init") and hasattr(meta_optimizer, "update")):
        raise UserError(
            f"meta_optimizer is {short(meta_optimizer)} and must be one of Optax's; "
            "try optax.adam(1e-3)"
        )
    check_key(key)
    if weights is None:
        weights = jnp.ones(schedule.num_steps)
    check_weights(weights, schedule.num_steps)
    if spread is not None:
        check_spread(spread)
    if state is None:
        state = initial_state(m, meta_optimizer)
    problem = everywhere(problem, spread.mesh if spread else None)
    while not is_over(state, schedule):
        if spread:
            spread.announce(state)
        m, average, opt_state, (meta_losses, norms, phi_steps), (curve, loss, vitals) = epoch(
            state, problem, schedule, meta_optimizer, key, weights, spread.mesh if spread else None
        )
        better = bool(jnp.isfinite(loss) & (loss < state.best_loss)) and is_finite(average)
        done, before = state.epoch + 1, state.meta_optimizer
        state = MetaState(
            m,
            average,
            opt_state,
            average if better else state.best,
            loss if better else state.best_loss,
            done if better else state.best_epoch,
            done,
        )
        if schedule.on_nonfinite == "restart-from-best" and not is_finite(
            (meta_losses, norms, phi_steps)
        ):
            state = state._replace(m=state.best, average=state.best, meta_optimizer=before)
        yield state, MetaInfo(meta_losses, norms, curve, loss, phi_steps, vitals)


class Epoch(NamedTuple):
    """What comes of an epoch: φ, its average, the meta-optimizer's state, and what to show.

    Example:
        The shapes of what an epoch would give; nothing is computed:

        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> adam, schedule = optax.adam(1e-3), Schedule(episodes=3, num_steps=10, unroll=5)
        >>> m, key = LSTM((), p=None, key=jax.random.key(0)), jax.random.key(1)
        >>> given = initial_state(m, adam), Quadratic(), schedule, adam, key, jnp.ones(10)
        >>> found = eqx.filter_eval_shape(epoch, *given)
        >>> [shown.shape for shown in found.shown], found.validation.curve.shape
        ([(3, 2), (3, 2), (3, 2)], (10,))
    """

    m: LearnedOptimizer
    average: LearnedOptimizer
    meta_optimizer: PyTree
    shown: tuple[Array, Array, Array]
    validation: Validation


def epoch(
    state: MetaState,
    problem: Problem,
    schedule: Schedule,
    meta_optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    weights: Float[Array, " num_steps"],
    mesh: Mesh | None = None,
) -> Epoch:
    """Train for one epoch and validate; on all devices of a mesh, if there is one.

    All processes whose devices are in the mesh have to call this with the same arguments, each
    having put the problem `everywhere`.

    Example:
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.from_function import FromFunction
        >>> m, sgd = LSTM((), p=None, key=jax.random.key(0)), optax.sgd(0.1)
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.ones(()))
        >>> schedule = Schedule(episodes=1, num_steps=2, unroll=2, validation_problems=1)
        >>> begin = initial_state(m, sgd)
        >>> found = epoch(begin, f, schedule, sgd, jax.random.key(1), jnp.ones(2))
        >>> bool(eqx.tree_equal(found.m, m)), bool(eqx.tree_equal(found.m, found.average))
        (False, True)
    """
    validation_key, training_key = jax.random.split(key)
    epoch_key = jax.random.fold_in(training_key, state.epoch)
    parts = _spread_over(schedule, mesh)
    begin = (state.m, state.average, state.meta_optimizer, epoch_key, weights, validation_key)
    m, average, opt_state, epoch_key, weights, validation_key = everywhere(begin, mesh)
    m, average, opt_state, shown = _train_epoch(
        m, average, opt_state, problem, epoch_key, weights, parts, meta_optimizer
    )
    found = validate(average, problem, validation_key, schedule, mesh)
    return Epoch(*here((m, average, opt_state, shown, found), mesh))


def _spread_over(schedule: Schedule, mesh: Mesh | None) -> Schedule:
    if mesh is None:
        return schedule
    return schedule._replace(estimator=OnEach(schedule.estimator.part(mesh.size), mesh))


def check_schedule(schedule: Schedule) -> None:
    """Raise a UserError where the numbers of a schedule do not make a run.

    Example:
        >>> check_schedule(Schedule(num_steps=100, unroll=30))
        Traceback (most recent call last):
        metadescent.UserError: the horizon of 100 steps is not a multiple of the unroll ...
    """
    for name in ("num_steps", "unroll", "episodes", "validation_problems"):
        require(name, getattr(schedule, name), 1)
    for name in ("epochs", "validation_steps", "patience", "least_epochs"):
        require(name, getattr(schedule, name), 0)
    require("average", schedule.average, 0.0, 0.999999)
    require_choice("policy on_nonfinite", schedule.on_nonfinite, get_args(OnNonfinite))
    require_kind("estimator", schedule.estimator, Estimator, "an estimator; try Truncated()")
    if schedule.num_steps % schedule.unroll:
        segments = max(1, schedule.num_steps // schedule.unroll)
        raise UserError(
            f"the horizon of {schedule.num_steps} steps is not a multiple of the unroll of "
            f"{schedule.unroll}; try --steps {segments * schedule.unroll}"
        )


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


class Footprint(NamedTuple):
    """The bytes that the programs of a run take, besides their arguments.

    Example:
        >>> from metadescent.memory import Prediction
        >>> found = Footprint(epoch=5_000_000, validation=2_000_000)
        >>> Prediction("two-phase", 300_000_000, *found, available=1e9).program
        'the meta-gradient'
    """

    epoch: int
    validation: int


def footprint(
    state: MetaState,
    problem: Problem,
    schedule: Schedule,
    *,
    meta_optimizer: optax.GradientTransformation,
    spread: Spread | None = None,
) -> Footprint:
    """Return what the compiler sets aside for an epoch of `meta_train`, and for its validation.

    JAX keeps what is compiled here, so `meta_train` with the very same arguments need not. Of
    several devices it is what each of them takes.

    Example:
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.from_function import FromFunction
        >>> m, sgd = LSTM((), p=None, key=jax.random.key(0)), optax.sgd(0.1)
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.ones(()))
        >>> schedule = Schedule(episodes=1, num_steps=1, unroll=1, validation_problems=1)
        >>> found = footprint(initial_state(m, sgd), f, schedule, meta_optimizer=sgd)
        >>> found.epoch > 0, found.validation > 0
        (True, True)
    """
    mesh = spread.mesh if spread else None
    parts = _spread_over(schedule, mesh)
    given = (state, problem, jax.random.key(0), jnp.ones(schedule.num_steps))
    (m, average, opt_state, *_), problem, key, weights = everywhere(given, mesh)
    return Footprint(
        _bytes(_train_epoch, m, average, opt_state, problem, key, weights, parts, meta_optimizer),
        _bytes(validate, average, problem, key, schedule, mesh),
    )


def _bytes(program: Any, *arguments: Any) -> int:
    found = program.lower(*arguments).compile().compiled.memory_analysis()
    return found.temp_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes


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


@eqx.filter_jit
def _train_epoch(
    m: LearnedOptimizer,
    average: LearnedOptimizer,
    opt_state: PyTree,
    problem: Problem,
    key: PRNGKeyArray,
    weights: Float[Array, " num_steps"],
    schedule: Schedule,
    meta_optimizer: optax.GradientTransformation,
) -> tuple[LearnedOptimizer, LearnedOptimizer, PyTree, tuple[Array, Array, Array]]:
    phi, static = eqx.partition(m, eqx.is_inexact_array)
    average_phi = eqx.filter(average, eqx.is_inexact_array)
    root_n = math.sqrt(sum(leaf.size for leaf in jax.tree.leaves(phi)))

    def episode(carry: PyTree, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        estimator = schedule.estimator
        begin = estimator.begin(eqx.combine(carry[0], static), problem, key)

        def segment(carry: PyTree, weights: Float[Array, " unroll"]) -> tuple[PyTree, PyTree]:
            (phi, average_phi, opt_state), within = carry
            m = eqx.combine(phi, static)
            gradient, within, losses = estimator.estimate(m, problem, within, key, weights)
            updates, opt_state = meta_optimizer.update(gradient, opt_state, phi)
            phi = optax.apply_updates(phi, updates)
            average_phi = optax.incremental_update(phi, average_phi, 1.0 - schedule.average)
            info = losses.mean(), optax.tree.norm(gradient), optax.tree.norm(updates) / root_n
            after = phi, average_phi, opt_state
            if schedule.on_nonfinite == "skip":
                good = jnp.isfinite(jnp.stack(info)).all()
                after = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, carry[0])
            return (after, within), info

        (carry, _), info = jax.lax.scan(
            segment, (carry, begin), weights.reshape(-1, schedule.unroll)
        )
        return carry, info

    carry = (phi, average_phi, opt_state)
    carry, info = jax.lax.scan(episode, carry, jax.random.split(key, schedule.episodes))
    phi, average_phi, opt_state = carry
    return eqx.combine(phi, static), eqx.combine(average_phi, static), opt_state, info
