"""Learning curves of an optimizer on freshly sampled problems."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.meta_loss import draw, start_batch
from metadescent.problem import Problem
from metadescent.unroll import AnyOptimizer, unroll


def learning_curves(
    m: AnyOptimizer,
    problem: Problem,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    num_seeds: int,
) -> Float[Array, "num_seeds num_steps"]:
    """Return f(θ_1) … f(θ_T) on each of `num_seeds` fresh problems.

    Two optimizers that are given the same key face the same f, θ₀ and minibatches.

    Example:
        >>> import jax, optax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> curves = learning_curves(
        ...     optax.adam(0.1), Quadratic(), jax.random.key(0), num_steps=20, num_seeds=3
        ... )
        >>> curves.shape
        (3, 20)
    """
    return _learning_curves(m, problem, key, num_steps, num_seeds)


@eqx.filter_jit
def _learning_curves(
    m: AnyOptimizer, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> Float[Array, "num_seeds num_steps"]:
    fs, minibatch_key = draw(problem, key, num_seeds)
    begin = start_batch(m, problem, key, num_seeds)
    _, losses = unroll(m, fs, begin, minibatch_key, num_steps=num_steps)
    return losses.T


def final_loss(curves: Float[Array, "... num_steps"]) -> Float[Array, "..."]:
    """Return the final error of learning curves: the mean over their last tenth.

    Where f is estimated on minibatches, a single step would let chance choose.

    Example:
        >>> import jax.numpy as jnp
        >>> float(final_loss(jnp.arange(100.0)))
        94.5
    """
    num_steps = curves.shape[-1]
    return curves[..., num_steps - max(1, num_steps // 10) :].mean(-1)
