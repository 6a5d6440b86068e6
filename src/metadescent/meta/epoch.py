"""One epoch: episodes of segments with an update of φ after each, in one compiled program."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.meta.devices import OnEach, Spread, everywhere, here
from metadescent.meta.schedule import Schedule
from metadescent.meta.state import MetaState
from metadescent.meta.validation import Validation, validate
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


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
