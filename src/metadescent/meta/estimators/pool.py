"""A pool: trajectories that began at different times, so that a segment sees all parts of a run.

    ∂L/∂φ ≈ 1/K Σ_k ∂L_k/∂φ,     where trajectory k is at step t + kT/K modulo T of its run

In the paper's episodes all optimizees are at the same step. One meta-step sees steps 1 to 20 and
the next steps 21 to 40, and φ swings with them. In a pool of K trajectories each begins anew on
another f when it has made T steps, and every meta-step is a mean over early and late steps. All
begin at step 0, and trajectory k ends kT/K steps early the first time. The pool lasts as long as an
epoch does, and the end of an episode changes nothing.

Source: Vicol, Metz and Sohl-Dickstein (2021), whose experiments begin "out of phase"; Metz,
Harrison, Freeman et al. (2022), "VeLO: training versatile learned optimizers by scaling up".
"""

from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require, require_kind
from metadescent.meta.estimators.base import Carry, Estimator, share
from metadescent.meta.estimators.truncated import Truncated
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.problems.batch import numbers, place_in, split_keys


class Members(NamedTuple):
    """Of each trajectory, what its estimator carries, its key, its step, and when it ends."""

    within: PyTree
    keys: Array
    steps: Int[Array, " members"]
    ends: Int[Array, " members"]


class Pool(Estimator):
    """An estimator on each of K trajectories that are at different steps of their runs.

    Arguments:
        of: the estimator of each trajectory, which has one optimizee or more of its own.
        steps: T, after which a trajectory begins anew; a multiple of the segments' length.
        problems: K.
        weigh_from: steps of a trajectory that do not count.

    Raises:
        UserError: if a number is too small, `weigh_from` leaves no step, or T is not a multiple of
            the segment.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.meta.estimators.truncated import Truncated
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m, problem, key = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> pool = Pool(Truncated(), steps=20, problems=4)
        >>> carry = pool.begin(m, problem, key)
        >>> for _ in range(3):
        ...     gradient, carry, losses = pool.estimate(m, problem, carry, key, jnp.ones(5))
        >>> carry.steps.tolist(), losses.shape
        ([15, 15, 5, 10], (5, 4))
    """

    of: Estimator = Truncated()
    steps: int = eqx.field(static=True, default=1000)
    problems: int = eqx.field(static=True, default=16)
    weigh_from: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        require_kind("of", self.of, Estimator, "an estimator; try Truncated()")
        require("steps", self.steps, 1)
        require("problems", self.problems, 1)
        require("weigh_from", self.weigh_from, 0, self.steps - 1)

    @property
    def lasts(self) -> bool:
        return True

    def part(self, parts: int) -> "Pool":
        return replace(self, problems=share(self.problems, parts))

    def begin(self, m: LearnedOptimizer, problem: Problem, key: PRNGKeyArray) -> Members:
        problem, place = place_in(problem)
        keys = split_keys(key, self.problems, place)
        whole = self.problems * (place.parts if place else 1)
        # The first one goes all the way, and the last one 1/K of it, if segments allow.
        ends = self.steps - self.steps * numbers(self.problems, place) // whole
        none = jnp.zeros_like(ends)
        return Members(self._begin_each(m, problem, keys), keys, none, ends)

    def estimate(
        self,
        m: LearnedOptimizer,
        problem: Problem,
        carry: Members,
        key: PRNGKeyArray,
        weights: Float[Array, " unroll"],
    ) -> tuple[PyTree, Members, Float[Array, "unroll problems"]]:
        del key  # Each trajectory has its own, which lasts as long as it does.
        if self.steps % len(weights):
            raise UserError(
                f"the pool's steps is {self.steps} and must be a multiple of the unroll, "
                f"{len(weights)}; try {self.steps // len(weights) * len(weights) or len(weights)}"
            )
        problem, _ = place_in(problem)
        members = self._renewed(m, problem, carry)

        def estimate_member(within: Carry, key: Array, step: Array) -> tuple[PyTree, Carry, Array]:
            counts = step + jnp.arange(len(weights)) >= self.weigh_from
            return self.of.estimate(m, problem, within, key, weights * counts)

        gradients, within, losses = jax.vmap(estimate_member)(
            members.within, members.keys, members.steps
        )
        after = members._replace(within=within, steps=members.steps + len(weights))
        losses = jnp.moveaxis(losses, 0, 1).reshape(len(weights), -1)
        return jax.tree.map(lambda x: x.mean(0), gradients), after, losses

    def _renewed(self, m: LearnedOptimizer, problem: Problem, carry: Members) -> Members:
        """Return the trajectories, those that have come to their ends begun anew."""
        over = carry.steps >= carry.ends

        def renew(carry: Members) -> Members:
            keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(carry.keys)
            fresh = Members(
                self._begin_each(m, problem, keys),
                keys,
                jnp.zeros_like(carry.steps),
                jnp.full_like(carry.ends, self.steps),
            )
            return jax.tree.map(lambda new, old: _where(over, new, old), fresh, carry)

        # Drawing f and θ₀ costs something, and most segments end no run.
        return jax.lax.cond(over.any(), renew, lambda carry: carry, carry)

    def _begin_each(self, m: LearnedOptimizer, problem: Problem, keys: Array) -> PyTree:
        return jax.vmap(lambda key: self.of.begin(m, problem, key))(keys)


def _where(over: Array, new: Array, old: Array) -> Array:
    """Choose along the first axis."""
    return jnp.where(over.reshape(-1, *(1,) * (new.ndim - 1)), new, old)


NAMED = {"pool": Pool}
