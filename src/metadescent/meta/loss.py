"""Equation 3:  L(φ) = E_f Σ_{t=1..T} w_t f(θ_t).

Its gradient can be computed in several *forms*, which agree but differ in time and memory: in two
phases (see `two_phase`), or through the unroll, with more or less of it computed twice (see
`unroll`).
"""

from typing import Literal, cast, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._checks import check_weights
from metadescent._errors import UserError, require_choice
from metadescent.descent.episode import Keys, draw
from metadescent.descent.unrolling import AnyOptimizer, Trajectory, Unrolled, rule_for, unroll
from metadescent.meta.schedule import Form
from metadescent.meta.two_phase import meta_gradient, record, suits
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.problems.batch import Batch

Known = Unrolled | Literal["two-phase"]


def meta_loss(
    m: AnyOptimizer,
    problem: Problem,
    trajectory: Trajectory,
    key: PRNGKeyArray,
    *,
    num_problems: int,
    num_steps: int,
    weights: Float[Array, " num_steps"] | None = None,
    second_derivatives: bool = False,
    num_coordinates: int | None = None,
    form: Form = "auto",
    log: float = 0.0,
    floor: float = 0.0,
) -> tuple[Float[Array, ""], tuple[Trajectory, Float[Array, "num_steps num_problems"]]]:
    """Estimate L(φ) over one truncated segment of `num_problems` optimizations.

    Arguments:
        m: the optimizer; differentiate with respect to it.
        problem: p(f).
        trajectory: the state of the optimizations, from `start_batch` or the segment before. No
            gradient flows into it: that is the truncation in truncated BPTT.
        key: the key that the trajectory was started with.
        num_steps: the unroll length.
        weights: w_t for the steps of this segment; 1 for each if not given.
        second_derivatives: whether to keep ∂∇_t/∂φ, which the paper drops.
        num_coordinates: in two phases, estimate the meta-gradient from a sample of this many
            coordinates (see `two_phase`); all of them if None, and in any other form.
        form: how the meta-gradient is computed, see `unroll` and `two_phase`; "auto"
            is the quickest of `forms`.
        log: if not 0, sum up log(f(θ_t) − floor + log) instead, so that progress counts in ratios:
            a step from 10⁻⁵ to 10⁻⁶ counts as much as one from 1 to 0.1. The gradients that m is
            given remain those of f, and so do the losses that are returned.
        floor: with `log`, an f below this counts as this; about the least value of f.

    Returns:
        The mean over problems of Σ w_t f(θ_t), then the trajectory after the segment and the
        losses.

    Raises:
        UserError: if two phases are asked for where they do not apply, or there is not one weight
            a step.

    Source: equation 3, section 2.

    Example:
        >>> import jax
        >>> from metadescent import LSTM
        >>> from metadescent.descent import start_batch
        >>> from metadescent.problems import Quadratic
        >>> m, problem, key = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> begin = start_batch(m, problem, key, 3)
        >>> L, (end, losses) = meta_loss(m, problem, begin, key, num_problems=3, num_steps=5)
        >>> losses.shape, bool(abs(L - losses.sum(0).mean()) < 1e-3)
        ((5, 3), True)
    """
    fs, keys = draw(problem, key, num_problems)
    trajectory = jax.lax.stop_gradient(trajectory)
    if weights is None:
        weights = jnp.ones(num_steps)
    check_weights(weights, num_steps)
    form = form_for(m, form, second_derivatives)
    if form == "two-phase":
        rule = cast(LearnedOptimizer, rule_for(m, fs))
        return _two_phase(rule, fs, trajectory, keys, weights, num_coordinates, log, floor)
    trajectory, losses = unroll(
        m,
        fs,
        trajectory,
        keys.minibatch,
        num_steps=num_steps,
        second_derivatives=second_derivatives,
        form=form,
    )
    # m is given the gradients of f itself; only the summands are logarithms.
    return jnp.mean(weights @ counted(losses, log, floor)), (trajectory, losses)


def counted(losses: Array, log: float, floor: float) -> Array:
    """Return losses as they count: unchanged, or log(f − floor + log) if `log` is not 0."""
    if not log:
        return losses
    # A loss that is not finite counts as the largest number, whose logarithm is still moderate.
    most = jnp.finfo(losses.dtype).max
    above = jnp.where(jnp.isfinite(losses), losses, most) - floor
    return jnp.log(jnp.maximum(above, 0.0) + log)


def forms(m: AnyOptimizer, second_derivatives: bool = False) -> tuple[Known, ...]:
    """Return the forms that suit the meta-gradient of m, the quickest first.

    Two phases take a third of the time of the other forms. Among those, "segments" takes the least
    memory, and a quarter more time. "recompute" and "plain" are about as quick as each other, and
    which of them takes less memory depends on the rule.
    """
    unrolled: tuple[Known, ...] = ("recompute", "plain", "segments")
    if suits(m) and not second_derivatives:
        return ("two-phase", *unrolled)
    return unrolled


def form_for(m: AnyOptimizer, form: Form, second_derivatives: bool = False) -> Known:
    """Return `form`, or the quickest one if it is "auto"; a UserError if it does not suit m."""
    require_choice("form", form, get_args(Form))
    suited = forms(m, second_derivatives)
    if form == "auto":
        return suited[0]
    if form == "two-phase" and form not in suited:
        name = type(m).__name__
        obstacle = f"{name} is no such rule"
        if second_derivatives:
            obstacle = "second derivatives are on"
        raise UserError(
            f"the form two-phase is for coordinatewise rules to first order and {obstacle}; "
            f"try the form {suited[0]}"
        )
    return form


def _two_phase(
    m: LearnedOptimizer,
    fs: Batch,
    trajectory: Trajectory,
    keys: Keys,
    weights: Float[Array, " num_steps"],
    num_coordinates: int | None,
    log: float,
    floor: float,
) -> tuple[Float[Array, ""], tuple[Trajectory, Array]]:
    rule = jax.lax.stop_gradient(m)
    # Each segment has another sample of coordinates, and so has each device.
    sample = jax.random.fold_in(keys.coordinates, trajectory.step)
    if fs.place is not None:
        sample = jax.random.fold_in(sample, fs.place.index)
    end, losses, gradients = record(rule, fs, trajectory, keys.minibatch, num_steps=len(weights))
    shares = weights / fs.size  # the meta-loss is a mean over problems
    if log:
        # The derivative of log(f − floor + log) by f, which differs from problem to problem.
        slopes = (losses > floor) / (jnp.maximum(losses - floor, 0.0) + log)
        shares = shares[:, None] * slopes
    gradient = meta_gradient(
        rule, trajectory.state, gradients, shares, num_coordinates=num_coordinates, key=sample
    )
    # The value of L, with the meta-gradient just computed as its derivative at φ.
    phi, constant = (eqx.filter(x, eqx.is_inexact_array) for x in (m, rule))
    moved = jax.tree.map(lambda g, a, b: jnp.vdot(g, a - b), gradient, phi, constant)
    value = jnp.mean(weights @ counted(losses, log, floor))
    return value + sum(jax.tree.leaves(moved)), (end, losses)
