"""Persistent evolution strategies: truncated segments without the bias of truncation.

    g = 1/(2σ²) · ξ_s (L_s(φ + ε) − L_s(φ − ε)),     ξ_s = ε_1 + … + ε_s,   ε_i ~ N(0, σ²I)

Two trajectories of the same optimizee, with the same minibatches, run side by side through the
whole episode. In segment s φ is perturbed by ε_s in one of them, and by −ε_s in the other. ξ
credits each ε with its effect on later losses. Summed over an episode, while φ stays as it is, g is
an unbiased estimate of the gradient of the smoothed L, whatever the length of the segments; nothing
is differentiated. Its variance grows with the number of segments and of parameters.

Source: Vicol, Metz and Sohl-Dickstein (2021), "Unbiased gradient estimation in unrolled computation
graphs with persistent evolution strategies"; one ε an episode from Li, Nanda, Chen, Metz, Pathak,
Kolter and Zico (2023), "Noise-reuse in online evolution strategies".
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import require, require_kind
from metadescent.descent.episode import draw, start_batch
from metadescent.descent.unrolling import Trajectory, unroll
from metadescent.meta.estimators.base import Estimator, chosen
from metadescent.meta.loss import counted
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.problems.batch import place_in, split_keys


class Pairs(NamedTuple):
    """Both trajectories and ξ of each pair; the first axis of every leaf is that of the pairs."""

    plus: Trajectory
    minus: Trajectory
    perturbation: PyTree


class PES(Estimator):
    """Antithetic persistent evolution strategies, one pair of trajectories an optimizee.

    Arguments:
        problems: optimizees in an episode, each with perturbations of its own.
        std: σ.
        leaves: pattern, with the wildcards of a shell, for the paths of the leaves of φ that are
            perturbed, such as `*/p`; the gradient of all others is 0. The fewer there are, the
            less the variance.
        log: if not 0, log(f − floor + log) counts instead of f (see `meta_loss`).
        floor: with `log`, an f below this counts as this.
        reuse: whether to draw one ε an episode, and credit each segment's loss to it alone. Then g
            has less variance, and is the gradient of L along the trajectory of that ε.

    Raises:
        UserError: if a number is too small; on use, if φ has no such leaf.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m, problem, key = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> pes = PES(problems=3)
        >>> begin = pes.begin(m, problem, key)
        >>> gradient, carry, losses = pes.estimate(m, problem, begin, key, jnp.ones(5))
        >>> gradient.output.bias.shape, carry.plus.step.tolist(), losses.shape
        ((1,), [5, 5, 5], (5, 3))
    """

    problems: int = eqx.field(static=True, default=1)
    std: float = eqx.field(static=True, default=0.01)
    leaves: str = eqx.field(static=True, default="*")
    log: float = eqx.field(static=True, default=0.0)
    floor: float = eqx.field(static=True, default=0.0)
    reuse: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        require("problems", self.problems, 1)
        require("std", self.std, 1e-12)
        require("log", self.log, 0.0)
        require_kind("leaves", self.leaves, str, "a pattern of paths; try 'output/*'")

    def begin(self, m: LearnedOptimizer, problem: Problem, key: PRNGKeyArray) -> Pairs:
        # Each pair has its own key, so that a part of a batch draws the same pairs as the whole.
        problem, place = place_in(problem)
        keys = split_keys(key, self.problems, place)
        start = jax.vmap(lambda key: start_batch(m, problem, key, 1))(keys)
        phi = eqx.filter(m, eqx.is_inexact_array)
        none = jax.tree.map(lambda x: jnp.zeros((self.problems, *x.shape), x.dtype), phi)
        return Pairs(start, start, none)

    def estimate(
        self,
        m: LearnedOptimizer,
        problem: Problem,
        carry: Pairs,
        key: PRNGKeyArray,
        weights: Float[Array, " unroll"],
    ) -> tuple[PyTree, Pairs, Float[Array, "unroll problems"]]:
        phi, static = eqx.partition(m, eqx.is_inexact_array)
        # Leaves that are not perturbed have ε = 0, and so ξ = 0 and gradient 0.
        stds = [self.std * on for on in jax.tree.leaves(chosen(phi, self.leaves))]
        problem, place = place_in(problem)

        def estimate_pair(pair: Pairs, key: PRNGKeyArray) -> tuple[PyTree, Pairs, Array]:
            fs, keys = draw(problem, key, 1)
            # Each segment has another ε, unless one is reused.
            noise = jax.random.fold_in(keys.coordinates, 0 if self.reuse else pair.plus.step)
            leaves, treedef = jax.tree.flatten(phi)
            draws = zip(stds, jax.random.split(noise, len(leaves)), leaves, strict=True)
            epsilon = treedef.unflatten(
                std * jax.random.normal(k, x.shape, x.dtype) for std, k, x in draws
            )

            def run(sign: Array, begin: Trajectory) -> tuple[Trajectory, Array]:
                moved = jax.tree.map(lambda x, e: x + sign * e, phi, epsilon)
                end, losses = unroll(
                    eqx.combine(moved, static), fs, begin, keys.minibatch, num_steps=len(weights)
                )
                return end, losses[:, 0]

            # The two run under one `vmap`: written twice, they would take twice as long to compile.
            both = jax.tree.map(lambda *x: jnp.stack(x), pair.plus, pair.minus)
            ends, of_both = jax.vmap(run)(jnp.asarray([1.0, -1.0]), both)
            plus, minus = (jax.tree.map(lambda x, k=k: x[k], ends) for k in (0, 1))
            losses_plus, losses_minus = of_both
            # With one ε for all segments, ξ is that ε.
            xi = epsilon if self.reuse else jax.tree.map(jnp.add, pair.perturbation, epsilon)
            # The pair is antithetic: what both trajectories have in common cancels.
            more, less = (
                counted(losses, self.log, self.floor) for losses in (losses_plus, losses_minus)
            )
            slope = weights @ (more - less) / (2 * self.std**2)
            gradient = jax.tree.map(lambda x: slope * x, xi)
            return gradient, Pairs(plus, minus, xi), (losses_plus + losses_minus) / 2

        keys = split_keys(key, self.problems, place)
        gradients, carry, losses = jax.vmap(estimate_pair)(carry, keys)
        return jax.tree.map(lambda x: x.mean(0), gradients), carry, losses.T


NAMED = {"pes": PES}
