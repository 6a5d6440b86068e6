"""The computational graph of figure 2:  θ_{t+1} = θ_t + g_t,  (g_t, h_{t+1}) = m(∇_t, h_t, φ).

The paper drops the dashed edges of that graph: ∂∇_t/∂φ = 0. Then the gradient ∇_t that feeds the
optimizer *is* the derivative of f(θ_t), so f need never be run backwards a second time: the loss is
written f(θ_t) + ⟨∇_t, θ_t − θ_t⟩ with all but the first θ_t held constant, which has the same value
and the derivative already in hand.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._checks import check_key, check_rule, check_theta, check_value
from metadescent._errors import require, require_choice, require_kind
from metadescent.optimizers.base import LearnedOptimizer, OverBatch
from metadescent.problems.base import Optimizee, Theta
from metadescent.problems.batch import Batch

AnyOptimizer = LearnedOptimizer | optax.GradientTransformation
Unrolled = Literal["plain", "recompute", "segments"]


class Trajectory(NamedTuple):
    """Where an optimization stands: what is carried from one truncated segment to the next.

    That is θ_t, h_t and t.

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
    """Optimize f for `num_steps` steps from where `trajectory` stands.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        f: one optimizee, or a `Batch` of them.
        key: the minibatch of step t is drawn from `fold_in(key, t)`, with t counted from the start
            of the trajectory, so two segments with one key are one longer unroll.
        second_derivatives: differentiate through ∇_t too, which the paper does not.
        form: what is kept for the way back, and what is computed again. "plain" keeps every
            intermediate value; "recompute" keeps θ_t, h_t and ∇_t, and runs the rule again;
            "segments" keeps θ and h once in about √T steps, and runs those steps again. The
            values and the meta-gradient are the same.

    Returns:
        The trajectory after the last step, and the losses f(θ_{t+1}) … f(θ_{t+num_steps}), which
        end with the loss that the last update led to. For a `Batch`, losses have shape
        (num_steps, B). Differentiate them with respect to m for the meta-gradient.

    Raises:
        UserError: if there is no step to make, no such form, or f(θ) is no scalar.

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
    hint = "a metadescent.descent.Trajectory; try metadescent.descent.unrolling.start(m, f, key)"
    require_kind("trajectory", trajectory, Trajectory, hint)
    check_key(key)
    rule = rule_for(m, f)
    loss_and_gradient = exact if second_derivatives else first_order
    # Recompute the inside of the rule on the way back; keep only h. Less memory and, as memory is
    # what the backward pass waits for, faster too: see `benchmarks/meta_step.py`.
    update = (
        rule.update
        if form == "plain"
        else jax.checkpoint(lambda gradient, state, theta: rule.update(gradient, state, theta))
    )

    def step(carry: Trajectory, _: None) -> tuple[Trajectory, Array]:
        theta, state, t = carry
        loss, gradient = loss_and_gradient(f, theta, jax.random.fold_in(key, t))
        g, state = update(gradient, state, theta)
        return Trajectory(optax.apply_updates(theta, g), state, t + 1), loss

    if form == "segments":
        trajectory, losses = _scan_in_segments(step, trajectory, num_steps)
    else:
        trajectory, losses = jax.lax.scan(step, trajectory, length=num_steps)
    last, _ = loss_and_gradient(f, trajectory.theta, jax.random.fold_in(key, trajectory.step))
    return trajectory, jnp.concatenate([losses[1:], last[None]])


def _scan_in_segments(
    step: Callable[[Trajectory, None], tuple[Trajectory, Array]],
    trajectory: Trajectory,
    num_steps: int,
) -> tuple[Trajectory, Array]:
    """Scan, keeping for the way back only what is carried from one of √T segments to the next."""
    length = max(1, math.isqrt(num_steps))
    whole, rest = divmod(num_steps, length)

    def segment(length: int) -> Callable[[Trajectory, None], tuple[Trajectory, Array]]:
        return jax.checkpoint(lambda begin, _: jax.lax.scan(step, begin, length=length))

    trajectory, losses = jax.lax.scan(segment(length), trajectory, length=whole)
    losses = losses.reshape(whole * length, *losses.shape[2:])
    if not rest:
        return trajectory, losses
    trajectory, last = segment(rest)(trajectory, None)
    return trajectory, jnp.concatenate([losses, last])


def rule_for(m: AnyOptimizer, f: Optimizee) -> Any:
    """Return m as it applies to f: spread over the batch axis when f is a `Batch`.

    Example:
        >>> from metadescent.problems.quadratic import Quadratic
        >>> sgd, problem, key = optax.sgd(0.1), Quadratic(), jax.random.key(0)
        >>> rule_for(sgd, problem.sample(key)) is sgd
        True
        >>> type(rule_for(sgd, Batch.sample(problem, key, 3))).__name__
        'OverBatch'
    """
    check_rule(m)
    if not isinstance(f, Batch):
        return m
    return m.over_batch() if isinstance(m, LearnedOptimizer) else OverBatch(m)


def exact(f: Optimizee, theta: Theta, key: PRNGKeyArray) -> tuple[Array, Theta]:
    """Return f(θ) and ∇f(θ), both of which may be differentiated.

    Example:
        >>> from metadescent.problems.quadratic import QuadraticFunction
        >>> f = QuadraticFunction(jnp.eye(2), jnp.asarray([3.0, 4.0]))
        >>> loss, gradient = exact(f, jnp.zeros(2), jax.random.key(0))
        >>> float(loss), gradient.tolist()
        (25.0, [-6.0, -8.0])
    """

    def total(theta: Theta) -> tuple[Array, Array]:
        losses = f.loss(theta, key)
        if not isinstance(f, Batch):
            check_value(losses, f"{type(f).__name__}.loss")
        return losses.sum(), losses

    gradient, losses = jax.grad(total, has_aux=True)(theta)
    return losses, gradient


def first_order(f: Optimizee, theta: Theta, key: PRNGKeyArray) -> tuple[Array, Theta]:
    """Return f(θ) and ∇f(θ), the latter as a constant and the former with ∇ as its derivative.

    Example:
        The derivatives of both: of f(θ) it is ∇, of ∇ it is 0.

        >>> from metadescent.problems.quadratic import QuadraticFunction
        >>> f, key = QuadraticFunction(jnp.eye(2), jnp.asarray([3.0, 4.0])), jax.random.key(0)
        >>> found = jax.jacobian(lambda theta: first_order(f, theta, key))(jnp.zeros(2))
        >>> [x.tolist() for x in found]
        [[-6.0, -8.0], [[0.0, 0.0], [0.0, 0.0]]]
    """
    here = jax.lax.stop_gradient(theta)
    losses, gradient = jax.lax.stop_gradient(exact(f, here, key))

    def inner(g: Array, d: Array) -> Array:
        return jnp.sum(g * d, axis=tuple(range(losses.ndim, g.ndim)))

    moved = jax.tree.map(lambda a, b, g: inner(g, a - b), theta, here, gradient)
    return losses + sum(jax.tree.leaves(moved)), gradient
