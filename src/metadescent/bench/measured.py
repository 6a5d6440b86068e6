"""Losses of a rule on a task during a run: on many training examples, and on held-out ones.

Losses are taken at θ₀ and after each of P equal parts of the T steps. They are losses of θ_t, or of
another point for a rule that says so, such as averaged parameters.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from metadescent._errors import UserError, require
from metadescent.bench.task import Split
from metadescent.descent.curves import final_loss
from metadescent.descent.episode import draw
from metadescent.descent.unrolling import AnyOptimizer, Trajectory, rule_for, start, walk
from metadescent.problems.base import Theta

POINTS = 50
Judged = Callable[[PyTree, Theta], Theta]
"""Returns the point at which a rule is judged, from its state and θ."""


class Measured(NamedTuple):
    """Losses at θ₀ and after each of P equal parts of T steps, and the seconds of all steps."""

    train: Float[np.ndarray, "seeds points"]
    held_out: Float[np.ndarray, "seeds points"]
    seconds: float = 0.0

    @property
    def end(self) -> tuple[float, float]:
        """Return the mean training and held-out loss over the last tenth of the run."""
        return float(np.mean(final_loss(self.train))), float(np.mean(final_loss(self.held_out)))


def measure(
    m: AnyOptimizer,
    split: Split,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    num_seeds: int,
    points: int = POINTS,
    judged: Judged | None = None,
) -> Measured:
    """Run a rule on a task and return its losses during the run.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        split: the task, made.
        key: draws f, θ₀ and minibatches. Two rules with the same key face the same.
        num_steps: T, a multiple of `points`.
        num_seeds: runs, in parallel.
        points: P.
        judged: returns the point of the losses, if not θ_t, such as averaged parameters.

    Raises:
        UserError: if T is not a multiple of P, or there is no step or no seed.
    """
    require("num_seeds", num_seeds, 1)
    require("points", points, 1)
    if num_steps < 1 or num_steps % points:
        raise UserError(f"{num_steps} steps are not a multiple of {points} points; try {points}")
    words = (m, split, key, num_seeds, num_steps // points, points, judged)
    # A run without steps compiles the program, which is the same for all rates of a baseline.
    jax.block_until_ready(_measured(*words, jnp.asarray(0)))
    began = time.perf_counter()
    losses = jax.block_until_ready(_measured(*words, jnp.asarray(points)))
    seconds = time.perf_counter() - began
    train, held_out = (np.asarray(values, np.float64).T for values in losses)
    return Measured(train, held_out, seconds)


@eqx.filter_jit
def _measured(
    m: AnyOptimizer,
    split: Split,
    key: PRNGKeyArray,
    num_seeds: int,
    every: int,
    points: int,
    judged: Judged | None,
    until: Int[Array, ""],
) -> tuple[Float[Array, "points seeds"], Float[Array, "points seeds"]]:
    fs, keys = draw(split.train, key, num_seeds)
    measured, held_out = (draw(part, key, num_seeds)[0] for part in split[1:])
    rule = rule_for(m, fs)

    def note(losses: PyTree, point: Int[Array, ""], trajectory: Trajectory) -> PyTree:
        theta = trajectory.theta
        if judged is not None:
            theta = jax.vmap(judged)(trajectory.state, theta)
        # The measured losses do not depend on the key.
        values = [side.loss(theta, keys.minibatch) for side in (measured, held_out)]
        return jax.tree.map(lambda all_of, now: all_of.at[point].set(now), losses, values)

    def part(index: Int[Array, ""], carry: PyTree) -> PyTree:
        trajectory, losses = carry
        trajectory, _ = walk(
            rule.update,
            fs,
            trajectory,
            keys.minibatch,
            num_steps=every,
            observe=lambda step: None,
        )
        return trajectory, note(losses, index + 1, trajectory)

    begin = start(m, fs, keys.theta)
    nothing = [jnp.zeros((points + 1, num_seeds))] * 2
    _, (train, held_out) = jax.lax.fori_loop(
        0, until, part, (begin, note(nothing, jnp.asarray(0), begin))
    )
    return train, held_out
