"""One epoch: episodes of segments with an update of φ after each, in one compiled program.

φ ← φ − α ∂L/∂φ
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.meta.devices import OnEach, Spread, everywhere, gathered
from metadescent.meta.estimators.base import Estimator
from metadescent.meta.schedule import Schedule
from metadescent.meta.state import MetaState
from metadescent.meta.validation import Validation, compiled_validation, validation_sizes
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Parts, Problem


class Epoch(NamedTuple):
    """The results of an epoch; `shown` are losses, gradients' norms and sizes of φ's changes."""

    m: LearnedOptimizer
    average: LearnedOptimizer
    meta_optimizer: PyTree
    shown: tuple[Array, Array, Array]
    validation: Validation


def run_epoch(
    state: MetaState,
    parts: Parts,
    schedule: Schedule,
    estimator: Estimator,
    meta_optimizer: optax.GradientTransformation,
    key: PRNGKeyArray,
    weights: Float[Array, " steps"],
    mesh: Mesh | None = None,
) -> Epoch:
    """Train for one epoch and validate; all processes of a mesh call it with the same arguments."""
    # The validation problems are the same in every epoch.
    validation_key, training_key = jax.random.split(key)
    # The key depends on the epoch alone, so a resumed run draws what the unbroken one would have.
    epoch_key = jax.random.fold_in(training_key, state.epoch)
    begin = (state.m, state.average, state.meta_optimizer, epoch_key, weights, validation_key)
    m, average, opt_state, epoch_key, weights, validation_key = everywhere(begin, mesh)
    shared = _spread_over(estimator, mesh)
    problem = parts.learned_from
    training = (m, average, opt_state, problem, epoch_key, weights, shared, meta_optimizer)
    m, average, opt_state, shown = _train_epoch(*training, *_sizes(schedule))
    validation = compiled_validation(
        average, parts.validated_on, validation_key, *validation_sizes(schedule), mesh
    )
    return Epoch(*gathered((m, average, opt_state, shown, validation), mesh))


def _spread_over(estimator: Estimator, mesh: Mesh | None) -> Estimator:
    return estimator if mesh is None else OnEach(estimator.part(mesh.size), mesh)


def _sizes(schedule: Schedule) -> tuple[int, int, float, bool]:
    """Return the sizes that an epoch's program depends on; runs of other lengths share it."""
    skip = schedule.on_nonfinite == "skip"
    return schedule.episodes, schedule.unroll, schedule.average, skip


@eqx.filter_jit
def _train_epoch(
    m: LearnedOptimizer,
    average: LearnedOptimizer,
    opt_state: PyTree,
    problem: Problem,
    key: PRNGKeyArray,
    weights: Float[Array, " steps"],
    estimator: Estimator,
    meta_optimizer: optax.GradientTransformation,
    episodes: int,
    unroll: int,
    decay: float,
    skip: bool,
) -> tuple[LearnedOptimizer, LearnedOptimizer, PyTree, tuple[Array, Array, Array]]:
    phi, static = eqx.partition(m, eqx.is_inexact_array)
    average_phi = eqx.filter(average, eqx.is_inexact_array)
    # The size of φ's change is a root mean square over its numbers.
    root_n = math.sqrt(sum(leaf.size for leaf in jax.tree.leaves(phi)))

    lasts, keys = estimator.lasts, jax.random.split(key, episodes)
    if lasts:
        weights = jnp.ones_like(weights)

    def episode(carry: PyTree, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        carry, within = carry
        begin = within if lasts else estimator.begin(eqx.combine(carry[0], static), problem, key)

        def segment(carry: PyTree, weights: Float[Array, " unroll"]) -> tuple[PyTree, PyTree]:
            before, within = carry
            phi, average_phi, opt_state = before
            m = eqx.combine(phi, static)
            gradient, within, losses = estimator.estimate(m, problem, within, key, weights)
            # The gradient has φ's dtype, whatever the dtype of θ and its losses.
            gradient = jax.tree.map(lambda d, x: d.astype(x.dtype), gradient, phi)
            updates, opt_state = meta_optimizer.update(gradient, opt_state, phi)
            phi = optax.apply_updates(phi, updates)
            average_phi = optax.incremental_update(phi, average_phi, 1.0 - decay)
            shown = losses.mean(), optax.tree.norm(gradient), optax.tree.norm(updates) / root_n
            after = phi, average_phi, opt_state
            if skip:
                # Only the update of φ is left out. θ goes on from where it is.
                good = jnp.isfinite(jnp.stack(shown)).all()
                after = jax.tree.map(lambda new, old: jnp.where(good, new, old), after, before)
            return (after, within), shown

        # w_1 … w_T, with a row for each segment.
        rows = weights.reshape(-1, unroll)
        (carry, within), shown = jax.lax.scan(segment, (carry, begin), rows)
        return (carry, within if lasts else None), shown

    within = estimator.begin(m, problem, keys[0]) if lasts else None
    carry = (phi, average_phi, opt_state), within
    ((phi, average_phi, opt_state), _), shown = jax.lax.scan(episode, carry, keys)
    return eqx.combine(phi, static), eqx.combine(average_phi, static), opt_state, shown


class Footprint(NamedTuple):
    """The bytes that the programs of a run take, besides their arguments."""

    epoch: int
    validation: int


def footprint(
    state: MetaState,
    problem: Problem,
    schedule: Schedule,
    estimator: Estimator,
    meta_optimizer: optax.GradientTransformation,
    spread: Spread | None = None,
) -> Footprint:
    """Return the bytes that an epoch and its validation take on each device, as compiled."""
    mesh = spread.mesh if spread else None
    # Keys and weights of the shapes that they will have; their numbers do not matter.
    given = (state, problem, jax.random.key(0), jnp.ones(schedule.steps))
    (m, average, opt_state, *_), problem, key, weights = everywhere(given, mesh)
    shared, parts = _spread_over(estimator, mesh), problem.hold_out(schedule.held_out)
    problem, validated_on = parts.learned_from, parts.validated_on
    training = (m, average, opt_state, problem, key, weights, shared, meta_optimizer)
    return Footprint(
        _bytes(_train_epoch, *training, *_sizes(schedule)),
        _bytes(compiled_validation, average, validated_on, key, *validation_sizes(schedule), mesh),
    )


def _bytes(program: Any, *arguments: Any) -> int:
    memory = program.lower(*arguments).compile().compiled.memory_analysis()
    # Memory that the output shares with an argument is counted as the argument's.
    return memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
