"""Imitation of a hand-designed optimizer: a start for a φ that is not trained yet.

    L(φ) = Σ_t w_t ½ ‖g_t − Δ_t‖² / n,     Δ_t = Adam's update of n coordinates on Adam's own path

The teacher optimizes. Both are given the gradients ∇_t on the teacher's path, and φ is trained to
propose the teacher's updates.

Source: Chen et al. (2020), "Training stronger baselines for learning to optimize", with the
constants of their code: Adam with a rate of 0.01.
"""

from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import require, require_choice
from metadescent.descent.episode import draw
from metadescent.descent.unrolling import Step, Trajectory, rule_for, side_by_side, start, walk
from metadescent.meta.estimators.base import Estimator
from metadescent.optimizers.base import LearnedOptimizer, OverBatch
from metadescent.problems.base import Problem

Teacher = Literal["adam", "rmsprop", "sgd"]


class Lesson(NamedTuple):
    """The teacher's trajectory, and h of the optimizer that imitates it."""

    teacher: Trajectory
    h: PyTree


class Imitation(Estimator):
    """The gradient of the squared distance to a teacher's updates, within each segment.

    The losses that it returns are these distances, as means over the coordinates of θ.

    Arguments:
        problems: optimizees in an episode.
        teacher: "adam", "rmsprop" or "sgd", Optax's own.
        rate: the teacher's rate.

    Raises:
        UserError: if there is no such teacher or a number is too small.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m, problem, key = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> lesson = Imitation(problems=3, rate=0.1)
        >>> begin = lesson.begin(m, problem, key)
        >>> gradient, carry, losses = lesson.estimate(m, problem, begin, key, jnp.ones(5))
        >>> gradient.output.bias.shape, int(carry.teacher.step), losses.shape
        ((1,), 5, (5, 3))
    """

    problems: int = eqx.field(static=True, default=1)
    teacher: Teacher = eqx.field(static=True, default="adam")
    rate: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        require_choice("teacher", self.teacher, get_args(Teacher))
        require("problems", self.problems, 1)
        require("rate", self.rate, 1e-12)

    def begin(self, m: LearnedOptimizer, problem: Problem, key: PRNGKeyArray) -> Lesson:
        fs, keys = draw(problem, key, self.problems)
        teacher = start(self._rule(), fs, keys.theta)
        return Lesson(teacher, rule_for(m, fs).init(teacher.theta))

    def estimate(
        self,
        m: LearnedOptimizer,
        problem: Problem,
        carry: Lesson,
        key: PRNGKeyArray,
        weights: Float[Array, " unroll"],
    ) -> tuple[PyTree, Lesson, Float[Array, "unroll problems"]]:
        fs, keys = draw(problem, key, self.problems)
        teacher = OverBatch(self._rule())
        phi, static = eqx.partition(m, eqx.is_inexact_array)

        def distances(phi: PyTree) -> tuple[Array, tuple[Lesson, Array]]:
            rule = rule_for(eqx.combine(phi, static), fs)
            # As in `unroll`, only h is kept for the backward pass.
            look_on = jax.checkpoint(lambda *arguments: rule.update(*arguments))
            end, losses = walk(
                side_by_side([teacher.update, look_on]),
                fs,
                carry.teacher._replace(state=[carry.teacher.state, carry.h]),
                keys.minibatch,
                num_steps=len(weights),
                observe=_apart,
                lead=lambda proposed: proposed[0],
            )
            state, h = end.state
            return jnp.mean(weights @ losses), (Lesson(end._replace(state=state), h), losses)

        gradient, (carry, losses) = jax.grad(distances, has_aux=True)(phi)
        return gradient, carry, losses

    def _rule(self) -> optax.GradientTransformation:
        make: Any = getattr(optax, self.teacher)
        return make(self.rate)


def _apart(step: Step) -> Float[Array, " problems"]:
    """Return ½ ‖g_t − Δ_t‖² / n of each optimizee."""
    delta, g = step.g
    differences = jax.tree.leaves(jax.tree.map(jnp.subtract, g, delta))
    rows = jnp.concatenate([x.reshape(len(x), -1) for x in differences], axis=1)
    return jnp.mean(rows**2, axis=1) / 2


NAMED = {"imitation": Imitation}
