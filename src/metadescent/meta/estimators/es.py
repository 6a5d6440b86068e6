"""Evolution strategies over whole runs, of which only the mean learning curve counts.

    g = 1/(2nσ²) · Σ_i ε_i (L(φ + ε_i) − L(φ − ε_i)),     ε_i ~ N(0, σ²I),   i = 1 … n

All of the 2n optimizers are run on the same f, θ₀ and minibatches. L is the weighted sum of their
mean losses. If there are levels, it is log r of `descent.levels`: how fast the mean curve reaches
them. Nothing is differentiated, so L may have jumps and runs may be unstable. This suits a φ of few
numbers; for many numbers the estimate says little.

Source: Salimans et al. (2017), "Evolution strategies as a scalable alternative to reinforcement
learning", with pairs that mirror each other.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require, require_kind
from metadescent._levels import parse_levels
from metadescent.descent.episode import draw, start_batch
from metadescent.descent.levels import relative_time
from metadescent.descent.unrolling import Trajectory, unroll
from metadescent.meta.estimators.base import Estimator, chosen
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem


class ES(Estimator):
    """Mirrored evolution strategies on the mean learning curve of a segment.

    Arguments:
        problems: optimizees that each φ is run on.
        pairs: n.
        std: σ.
        levels: losses and usual steps, as in a recipe; the segment must be the whole run.
        leaves: pattern, with the wildcards of a shell, for the paths of the leaves of φ that are
            perturbed; the gradient of all others is 0.

    Raises:
        UserError: if a number is too small or a level is invalid; on use, if φ has no such leaf.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.optimizers.lstm import LSTM
        >>> from metadescent.problems.quadratic import Quadratic
        >>> m, problem, key = LSTM((4,), key=jax.random.key(0)), Quadratic(), jax.random.key(1)
        >>> es = ES(problems=3, pairs=2, levels="40@2,20@5")
        >>> begin = es.begin(m, problem, key)
        >>> gradient, carry, losses = es.estimate(m, problem, begin, key, jnp.ones(5))
        >>> gradient.output.bias.shape, int(carry.step), losses.shape
        ((1,), 5, (5, 3))
    """

    problems: int = eqx.field(static=True, default=1)
    pairs: int = eqx.field(static=True, default=8)
    std: float = eqx.field(static=True, default=0.1)
    levels: str = eqx.field(static=True, default="")
    leaves: str = eqx.field(static=True, default="*")

    def __check_init__(self) -> None:
        require("problems", self.problems, 1)
        require("pairs", self.pairs, 1)
        require("std", self.std, 1e-12)
        require_kind("leaves", self.leaves, str, "a pattern of paths; try 'output/*'")
        parse_levels(self.levels)

    def part(self, parts: int) -> "ES":
        if parts > 1:
            raise UserError(
                f"es compares mean curves of all of its problems, which no {parts} devices share; "
                "try one device, or the estimator pes"
            )
        return self

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
        fs, keys = draw(problem, key, self.problems)
        leaves, treedef = jax.tree.flatten(phi)
        stds = [self.std * on for on in jax.tree.leaves(chosen(phi, self.leaves))]
        # Each segment has another ε.
        noise = jax.random.fold_in(keys.coordinates, carry.step)
        draws = zip(stds, jax.random.split(noise, len(leaves)), leaves, strict=True)
        epsilon = treedef.unflatten(
            std * jax.random.normal(k, (self.pairs, *x.shape), x.dtype) for std, k, x in draws
        )

        def run(epsilon: PyTree) -> tuple[Trajectory, Array]:
            rule = eqx.combine(jax.tree.map(jnp.add, phi, epsilon), static)
            return unroll(rule, fs, carry, keys.minibatch, num_steps=len(weights))

        # φ + ε, φ − ε and φ run together, in a program with one loop over the steps.
        tried = jax.tree.map(lambda e: jnp.concatenate([e, -e, 0 * e[:1]]), epsilon)
        ends, losses = jax.vmap(run)(tried)
        L = jax.vmap(lambda losses: self._counted(losses, weights))(losses)
        slopes = (L[: self.pairs] - L[self.pairs : -1]) / (2 * self.pairs * self.std**2)
        gradient = jax.tree.map(lambda e: jnp.tensordot(slopes, e, 1), epsilon)
        return gradient, jax.tree.map(lambda x: x[-1], ends), losses[-1]

    def _counted(
        self, losses: Float[Array, "steps problems"], weights: Float[Array, " steps"]
    ) -> Float[Array, ""]:
        mean: Any = jnp.where(jnp.isfinite(losses), losses, jnp.inf).mean(1)
        if self.levels:
            return jnp.log(relative_time(mean, parse_levels(self.levels)))
        return weights @ jnp.minimum(mean, jnp.finfo(mean.dtype).max / len(mean))


NAMED = {"es": ES}
