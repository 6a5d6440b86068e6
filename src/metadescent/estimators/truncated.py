"""Truncated backpropagation through time: the paper's way (section 3), and the default.

The derivative of equation 3 over a segment, with what was before the segment held constant. Short
segments are biased, towards what pays off soon; the bias is the price of a low variance.
"""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.errors import require
from metadescent.estimator import Estimator
from metadescent.meta_loss import meta_loss, start_batch
from metadescent.optimizer import LearnedOptimizer
from metadescent.problem import Problem
from metadescent.recipe import Form
from metadescent.unroll import Trajectory


class Truncated(Estimator):
    """dL/dφ within each segment, exactly.

    Arguments:
        problems: optimizees an episode.
        coordinates: estimate from a sample of this many coordinates (see `two_phase`); 0: all.
        second_derivatives: keep ∂∇_t/∂φ, which the paper drops.
        form: how it is computed (see `meta_loss`).

    Raises:
        UserError: if a number is too small.

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

    def __check_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("problems", self.problems, 1)
        require("coordinates", self.coordinates, 0)

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

        def objective(phi: PyTree) -> tuple[Array, PyTree]:
            return meta_loss(
                eqx.combine(phi, static),
                problem,
                carry,
                key,
                num_problems=self.problems,
                num_steps=len(weights),
                weights=weights,
                num_coordinates=self.coordinates or None,
                second_derivatives=self.second_derivatives,
                form=self.form,
            )

        (_, (carry, losses)), gradient = jax.value_and_grad(objective, has_aux=True)(phi)
        return gradient, carry, losses


NAMED = {"truncated": Truncated}
