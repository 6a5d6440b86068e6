"""Truncated backpropagation through time: the paper's way (section 3), and the default.

This is the derivative of equation 3 over a segment, with everything before the segment held
constant. Short segments are biased towards what pays off soon; the bias is the price of a low
variance.

With second derivatives there is feedback: a step changes the gradient at the next step. Through
many steps near the edge of stability these changes multiply, and the exact meta-gradient explodes.
`feedback` scales each of them: 1 is exact, 0 is the paper's ∂∇_t/∂φ = 0.
"""

from dataclasses import replace
from typing import Any, get_args

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import require, require_choice, require_kind
from metadescent.descent.episode import start_batch
from metadescent.descent.unrolling import Trajectory
from metadescent.meta.estimators.base import Estimator, chosen, share
from metadescent.meta.loss import meta_loss
from metadescent.meta.schedule import Form
from metadescent.optimizers.base import LearnedOptimizer, State, Updates
from metadescent.problems.base import Problem


class Truncated(Estimator):
    """dL/dφ within each segment, exactly.

    Arguments:
        problems: optimizees in an episode.
        coordinates: estimate from a sample of this many coordinates (see `two_phase`); 0: all.
        second_derivatives: whether to keep ∂∇_t/∂φ, which the paper drops.
        feedback: the share of ∂∇_t/∂φ that is kept in each step, from 0 to 1.
        form: how it is computed (see `meta_loss`).
        log: if not 0, log(f − floor + log) counts instead of f (see `meta_loss`).
        floor: with `log`, an f below this counts as this.
        leaves: pattern, with the wildcards of a shell, for the paths of the leaves of φ that are
            learned, such as `*/lstm/*`; the gradient of all others is 0.

    Raises:
        UserError: if a number is too small; on use, if φ has no such leaf.

    Source: section 2.1, section 3.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m, problem, key = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> bptt = Truncated(problems=3)
        >>> begin = bptt.begin(m, problem, key)
        >>> gradient, carry, losses = bptt.estimate(m, problem, begin, key, jnp.ones(5))
        >>> gradient.output.bias.shape, int(carry.step), losses.shape
        ((1,), 5, (5, 3))
    """

    problems: int = eqx.field(static=True, default=1)
    coordinates: int = eqx.field(static=True, default=0)
    second_derivatives: bool = eqx.field(static=True, default=False)
    form: Form = eqx.field(static=True, default="auto")
    feedback: float = eqx.field(static=True, default=1.0)
    log: float = eqx.field(static=True, default=0.0)
    floor: float = eqx.field(static=True, default=0.0)
    leaves: str = eqx.field(static=True, default="*")

    def __check_init__(self) -> None:
        require("problems", self.problems, 1)
        require("coordinates", self.coordinates, 0)
        require("feedback", self.feedback, 0.0, 1.0)
        require_choice("form", self.form, get_args(Form))
        require("log", self.log, 0.0)
        require_kind("leaves", self.leaves, str, "a pattern of paths; try 'output/*'")

    def part(self, parts: int) -> "Truncated":
        # Each part has a sample of coordinates of its own.
        coordinates = -(-self.coordinates // parts)
        return replace(self, problems=share(self.problems, parts), coordinates=coordinates)

    def begin(self, m: LearnedOptimizer, problem: Problem, key: PRNGKeyArray) -> Trajectory:
        return start_batch(m, problem, key, self.problems)

    def estimate(
        self,
        m: LearnedOptimizer,
        problem: Problem,
        carry: Trajectory,
        key: PRNGKeyArray,
        weights: Float[Array, " unroll"],
    ) -> tuple[PyTree, Trajectory, Float[Array, "unroll problems"]]:
        phi, static = eqx.partition(m, eqx.is_inexact_array)
        learned = chosen(phi, self.leaves)

        def objective(phi: PyTree) -> tuple[Array, PyTree]:
            # φ that is not learned is a constant, with gradient 0.
            rule = eqx.combine(eqx.filter(phi, learned), jax.lax.stop_gradient(phi), static)
            # Without second derivatives there is no feedback to scale.
            damped = self.second_derivatives and self.feedback < 1.0
            return meta_loss(
                Damped(rule, self.feedback) if damped else rule,
                problem,
                carry,
                key,
                num_problems=self.problems,
                num_steps=len(weights),
                weights=weights,
                num_coordinates=self.coordinates or None,
                second_derivatives=self.second_derivatives,
                form=self.form,
                log=self.log,
                floor=self.floor,
            )

        (_, (carry, losses)), gradient = jax.value_and_grad(objective, has_aux=True)(phi)
        return gradient, carry, losses


class Damped(LearnedOptimizer):
    """A rule that is given ∇ with only a share of ∇'s derivative."""

    rule: LearnedOptimizer
    share: float = eqx.field(static=True)

    def init(self, params: PyTree) -> State:
        return self.rule.init(params)

    def update(
        self, updates: Updates, state: State, params: PyTree | None = None, **extra_args: Any
    ) -> tuple[Updates, State]:
        def damp(gradient: Array) -> Array:
            # The value stays, its derivative is scaled.
            held = jax.lax.stop_gradient(gradient)
            return held + self.share * (gradient - held)

        return self.rule.update(jax.tree.map(damp, updates), state, params, **extra_args)

    def over_batch(self) -> LearnedOptimizer:
        return Damped(self.rule.over_batch(), self.share)


NAMED = {"truncated": Truncated}
