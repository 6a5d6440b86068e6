"""The computational graph of figure 2:  θ_{t+1} = θ_t + g_t,  (g_t, h_{t+1}) = m(∇_t, h_t, φ).

The paper drops the dashed edges of that graph: ∂∇_t/∂φ = 0. Then the gradient ∇_t that feeds the
optimizer *is* the derivative of f(θ_t), so f need not be differentiated a second time. The loss is
written f(θ_t) + ⟨∇_t, θ_t − θ_t⟩, with all but the first θ_t of the product held constant. This has
the same value, and its derivative is the known ∇_t.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._checks import check_key, check_rule, check_theta, check_value
from metadescent._errors import require, require_choice, require_kind
from metadescent.descent.at_rate import AtRate
from metadescent.optimizers.apart import Apart, looks_at_whole
from metadescent.optimizers.base import LearnedOptimizer, OverBatch
from metadescent.problems.base import Optimizee, Theta
from metadescent.problems.batch import Batch
from metadescent.problems.together import summands

AnyOptimizer = LearnedOptimizer | AtRate | optax.GradientTransformation
Unrolled = Literal["plain", "recompute", "segments"]
Update = Callable[..., tuple[PyTree, PyTree]]  # (∇_t, h_t, θ_t) → (g_t, h_{t+1})


class Trajectory(NamedTuple):
    """The state of an optimization, θ_t, h_t and t, which a truncated segment gives to the next.

    Example:
        >>> import jax, optax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> f = Quadratic(dimension=3).sample(jax.random.key(0))
        >>> theta, state, step = start(optax.sgd(0.1), f, jax.random.key(1))
        >>> theta.shape, int(step)
        ((3,), 0)

    Source: figure 2.
    """

    theta: Theta
    state: PyTree
    step: Int[Array, ""]


def start(m: AnyOptimizer, f: Optimizee, key: PRNGKeyArray) -> Trajectory:
    """Return the trajectory at t = 0: a fresh θ₀ drawn by f, and a fresh h₀.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        f: one optimizee, or a `Batch` of them.
        key: draws θ₀.

    Raises:
        UserError: if θ₀ is not a pytree of floating-point arrays, or an argument is of another
            kind.

    Source: figure 2.

    Example:
        >>> import jax, optax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> f = Quadratic().sample(jax.random.key(0))
        >>> start(optax.sgd(0.1), f, jax.random.key(1)).theta.shape
        (10,)
    """
    check_key(key)
    require_kind("f", f, Optimizee, "a metadescent.Optimizee; try problem.sample(key)")
    theta = f.init(key)
    check_theta(theta, f"{type(f).__name__}.init")
    return start_at(m, f, theta)


def start_at(m: AnyOptimizer, f: Optimizee, theta: Theta) -> Trajectory:
    """Return the trajectory at t = 0 from a θ₀ that has been drawn, with a fresh h₀."""
    return Trajectory(theta, rule_for(m, f).init(theta), jnp.asarray(0))


def unroll(
    m: AnyOptimizer,
    f: Optimizee,
    trajectory: Trajectory,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    second_derivatives: bool = False,
    form: Unrolled = "recompute",
) -> tuple[Trajectory, Float[Array, "num_steps ..."]]:
    """Optimize f for `num_steps` steps from the state in `trajectory`.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        f: one optimizee, or a `Batch` of them.
        key: the minibatch of step t is drawn from `fold_in(key, t)`, with t counted from the start
            of the trajectory, so two segments with one key are one longer unroll.
        second_derivatives: whether to differentiate through ∇_t too; the paper does not.
        form: what is kept for the backward pass, and what is computed again. "plain" keeps every
            intermediate value. "recompute" keeps θ_t, h_t and ∇_t, and runs the rule again.
            "segments" keeps θ and h once in about √T steps, and runs those steps again. The
            values and the meta-gradient are the same.

    Returns:
        The trajectory after the last step, and the losses f(θ_{t+1}) … f(θ_{t+num_steps}). The last
        of these is the loss after the last update. For a `Batch`, losses have shape (num_steps, B).
        Differentiate them with respect to m for the meta-gradient.

    Raises:
        UserError: if there is no step to make, no such form, or f(θ) is not a scalar.

    Source: equation 3, figure 2.

    Example:
        >>> import jax, optax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> f = Quadratic().sample(jax.random.key(0))
        >>> sgd = optax.sgd(0.01)
        >>> begin = start(sgd, f, jax.random.key(1))
        >>> end, losses = unroll(sgd, f, begin, jax.random.key(2), num_steps=5)
        >>> losses.shape, int(end.step), bool(losses[-1] < losses[0])
        ((5,), 5, True)
    """
    require("num_steps", num_steps, 1)
    require_choice("form", form, get_args(Unrolled))
    hint = "a metadescent.descent.Trajectory; try metadescent.descent.start(m, f, key)"
    require_kind("trajectory", trajectory, Trajectory, hint)
    check_key(key)
    rule = rule_for(m, f)
    if isinstance(rule, Apart):
        # The parts go one after another, so that the arrays of a loop stay in the cache.
        given = zip(summands(f), trajectory.theta, trajectory.state, strict=True)
        ways = [
            unroll(
                m,
                part,
                Trajectory(theta, state, trajectory.step),
                key,
                num_steps=num_steps,
                second_derivatives=second_derivatives,
                form=form,
            )
            for part, theta, state in given
        ]
        ends = [end for end, _ in ways]
        thetas, states = tuple(end.theta for end in ends), [end.state for end in ends]
        losses = [losses for _, losses in ways]
        return Trajectory(thetas, states, ends[0].step), sum(losses[1:], start=losses[0])
    # The backward pass computes the inside of the rule again, so only h is kept. This takes less
    # memory and is faster, because memory limits the backward pass: see `benchmarks/meta_step.py`.
    update = (
        rule.update
        if form == "plain"
        else jax.checkpoint(lambda gradient, state, theta: rule.update(gradient, state, theta))
    )
    evaluate = exact if second_derivatives else first_order
    trajectory, losses = walk(
        update,
        f,
        trajectory,
        key,
        num_steps=num_steps,
        observe=lambda step: step.loss,
        evaluate=evaluate,
        in_segments=form == "segments",
    )
    last, _ = evaluate(f, trajectory.theta, jax.random.fold_in(key, trajectory.step))
    # A step is judged by the loss that it leads to, so f(θ_t) itself does not count.
    return trajectory, jnp.concatenate([losses[1:], last[None]])


def rule_for(m: AnyOptimizer, f: Optimizee) -> Any:
    """Return m as it applies to f: to each f of a batch, and to each part of a sum alone."""
    check_rule(m)
    rule = m
    if isinstance(f, Batch):
        rule = m.over_batch() if isinstance(m, LearnedOptimizer) else OverBatch(m)
    return Apart(rule) if looks_at_whole(m) and summands(f) else rule


def exact(f: Optimizee, theta: Theta, key: PRNGKeyArray) -> tuple[Array, Theta]:
    """Return f(θ) and ∇f(θ), both of which may be differentiated."""

    def total(theta: Theta) -> tuple[Array, Array]:
        losses = f.loss(theta, key)
        if not isinstance(f, Batch):
            check_value(losses, f"{type(f).__name__}.loss")
        # Each θ of a batch is in its own loss alone, so the gradient of the sum has each gradient.
        return losses.sum(), losses

    gradient, losses = jax.grad(total, has_aux=True)(theta)
    return losses, gradient


def first_order(f: Optimizee, theta: Theta, key: PRNGKeyArray) -> tuple[Array, Theta]:
    """Return f(θ) and ∇f(θ): ∇f(θ) as a constant, and f(θ) with that constant as derivative."""
    held = jax.lax.stop_gradient(theta)
    losses, gradient = jax.lax.stop_gradient(exact(f, held, key))

    def inner(g: Array, d: Array) -> Array:
        # The sum is over all axes except the batch's; losses have that axis or none.
        return jnp.sum(g * d, axis=tuple(range(losses.ndim, g.ndim)))

    # ⟨∇, θ − θ⟩ is 0, and its derivative is ∇.
    nothing = jax.tree.map(lambda a, b, g: inner(g, a - b), theta, held, gradient)
    return losses + sum(jax.tree.leaves(nothing)), gradient


class Step(NamedTuple):
    """The values of step t, before θ and h change."""

    theta: Theta
    state: PyTree
    loss: Float[Array, "..."]
    gradient: Theta
    g: PyTree  # what `update` proposed


def walk(
    update: Update,
    f: Optimizee,
    trajectory: Trajectory,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    observe: Callable[[Step], PyTree],
    evaluate: Callable[[Optimizee, Theta, PRNGKeyArray], tuple[Array, Theta]] = exact,
    lead: Callable[[PyTree], Theta] = lambda g: g,
    in_segments: bool = False,
) -> tuple[Trajectory, PyTree]:
    """Make the steps of figure 2; return where they lead, and stack what `observe` returns.

    If `update` proposes several updates, `lead` says which of them θ follows.
    """

    def step(carry: Trajectory, _: None) -> tuple[Trajectory, PyTree]:
        theta, state, t = carry
        # t goes on from segment to segment, so that two segments are one longer unroll.
        loss, gradient = evaluate(f, theta, jax.random.fold_in(key, t))
        g, next_state = update(gradient, state, theta)
        seen = observe(Step(theta, state, loss, gradient, g))
        return Trajectory(optax.apply_updates(theta, lead(g)), next_state, t + 1), seen

    if in_segments:
        return _scan_in_segments(step, trajectory, num_steps)
    return jax.lax.scan(step, trajectory, length=num_steps)


def side_by_side(updates: Sequence[Update]) -> Update:
    """Return several updates as one, which gives each the same ∇_t and has lists of h and g."""

    def update(
        gradient: Theta, states: list[PyTree], theta: Theta
    ) -> tuple[list[Theta], list[PyTree]]:
        moves = [move(gradient, h, theta) for move, h in zip(updates, states, strict=True)]
        return [g for g, _ in moves], [h for _, h in moves]

    return update


def _scan_in_segments(
    step: Callable[[Trajectory, None], tuple[Trajectory, PyTree]],
    trajectory: Trajectory,
    num_steps: int,
) -> tuple[Trajectory, PyTree]:
    """Scan, but keep for the backward pass only what is carried between about √T segments."""
    length = max(1, math.isqrt(num_steps))
    whole, rest = divmod(num_steps, length)

    def segment(length: int) -> Callable[[Trajectory, None], tuple[Trajectory, PyTree]]:
        return jax.checkpoint(lambda begin, _: jax.lax.scan(step, begin, length=length))

    trajectory, seen = jax.lax.scan(segment(length), trajectory, length=whole)
    # Segments and their steps become one axis of time.
    seen = jax.tree.map(lambda x: x.reshape(whole * length, *x.shape[2:]), seen)
    if not rest:
        return trajectory, seen
    trajectory, last = segment(rest)(trajectory, None)
    return trajectory, jax.tree.map(lambda *parts: jnp.concatenate(parts), seen, last)
