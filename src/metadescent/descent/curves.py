"""Learning curves of an optimizer on freshly sampled problems, with their intervals."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from metadescent import _show
from metadescent._checks import check_rule
from metadescent._errors import UserError, require
from metadescent.descent.episode import Drawn, check_problem, draw, draw_all
from metadescent.descent.line_search import searched_curves, searches_along_line
from metadescent.descent.unrolling import AnyOptimizer, Trajectory, start_at, unroll
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.problems.batch import Place, in_parts, within

BLOWN_UP = 10.0
"""A loss has blown up if it is above the start by ten times the start's size. No noise does so."""
APART = 20
"""Means leave out problems that blew up, if they are at most one in so many; curves count them."""
SEARCHES = 8
"""How many searches along a line are one program; `progress` is called after each program."""


class Curve(NamedTuple):
    """Losses of an optimizer over many seeds: f(θ_1) … f(θ_T), the mean and its 95 % interval."""

    mean: Float[np.ndarray, " steps"]
    low: Float[np.ndarray, " steps"]
    high: Float[np.ndarray, " steps"]
    rate: float | None = None  # the tuned rate, if the optimizer is hand-designed
    diverged: int = 0  # problems on which the loss blew up

    @property
    def final(self) -> float:
        """Return the mean loss after the last step, f(θ_T)."""
        return float(self.mean[-1])

    @property
    def last_tenth(self) -> float:
        """Return the mean loss over the last tenth of the steps."""
        return float(final_loss(self.mean))

    @property
    def sum(self) -> float:
        """Return the sum of the mean losses over all steps."""
        return float(self.mean.sum())

    def to_json(self) -> dict[str, Any]:
        """Return the curve in the schema of `metadescent evaluate --json`."""
        return {
            "mean": _finite(self.mean.tolist()),
            "ci95": [
                _finite(pair) for pair in zip(self.low.tolist(), self.high.tolist(), strict=True)
            ],
            "final": _finite([self.final])[0],
            "sum": _finite([self.sum])[0],
            "rate": self.rate,
            "diverged": self.diverged,
        }

    def plot(self) -> Any:
        """Return a figure of the curve with its interval."""
        return _show.plot(self)

    def _repr_html_(self) -> str:
        return _show.html(self)


def _finite(values: Iterable[float]) -> list[float | None]:
    # JSON knows neither NaN nor infinity.
    return [value if math.isfinite(value) else None for value in values]


def learning_curves(
    m: AnyOptimizer,
    problem: Problem,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    num_seeds: int,
    progress: Callable[[float], object] = lambda _: None,
) -> Float[Array, "num_seeds num_steps"]:
    """Return f(θ_1) … f(θ_T) on each of `num_seeds` fresh problems.

    Arguments:
        m: a learned optimizer or any Optax transformation.
        problem: p(f).
        key: draws f, θ₀ and minibatches.
        num_steps: T.
        num_seeds: how many runs, each with an f of its own.
        progress: called with the share of the runs that are done, if they go part by part.

    Two optimizers that are given the same key face the same f, θ₀ and minibatches. A rule that
    searches along a line, such as `optax.lbfgs`, is given T gradients instead of T steps: its t-th
    value is the loss that it has reached with t gradients.

    Raises:
        UserError: if there is no step or no seed, or an argument is of another kind.

    Source: section 3, figure 4.

    Example:
        >>> import jax, optax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> curves = learning_curves(
        ...     optax.adam(0.1), Quadratic(), jax.random.key(0), num_steps=20, num_seeds=3
        ... )
        >>> curves.shape
        (3, 20)
    """
    _check(problem, num_steps, num_seeds)

    def run(part: Place | None, size: int) -> Array:
        return _side_by_side(m, draw_all(within(problem, part), key, size), num_steps)

    return in_parts(run, num_seeds, _most_at_once(m, problem, key), progress)


def theta_shapes(problem: Problem, key: PRNGKeyArray) -> Any:
    """Return the shapes of one θ."""
    return eqx.filter_eval_shape(_one_theta, problem, key)


# It is never run. Under `jit` it is traced once for all problems of one kind.
@eqx.filter_jit
def _one_theta(problem: Problem, key: PRNGKeyArray) -> Any:
    fs, keys = draw(problem, key, 1)
    return jax.tree.map(lambda leaf: leaf[0], fs.init(keys.theta))


def _most_at_once(m: AnyOptimizer, problem: Problem, key: PRNGKeyArray) -> int | None:
    check_rule(m)
    if isinstance(m, LearnedOptimizer):
        return problem.at_once
    # Searches along a line go one f after another, so running all of them at once has no benefit.
    searches = searches_along_line(m, theta_shapes(problem, key))
    return min(SEARCHES, problem.at_once or SEARCHES) if searches else problem.at_once


def _check(problem: Problem, num_steps: int, num_seeds: int) -> None:
    require("num_steps", num_steps, 1)
    require("num_seeds", num_seeds, 1)
    check_problem(problem)


@eqx.filter_jit
def _side_by_side(
    m: AnyOptimizer, drawn: Drawn, num_steps: int
) -> Float[Array, "num_seeds num_steps"]:
    return curves_from(m, drawn, num_steps)


def curves_from(
    m: AnyOptimizer, drawn: Drawn, num_steps: int
) -> Float[Array, "num_seeds num_steps"]:
    """Return f(θ_1) … f(θ_T) on optimizees that have been drawn."""
    fs, theta, minibatch = drawn
    check_rule(m)
    # θ is that of one f, because m is made for its coordinates, not for those of the batch.
    if searches_along_line(m, jax.tree.map(lambda leaf: leaf[0], theta)):
        return searched_curves(m, fs, theta, minibatch, num_gradients=num_steps)
    _, losses = unroll(m, fs, start_at(m, fs, theta), minibatch, num_steps=num_steps)
    return losses.T


def held_out_curves(
    m: AnyOptimizer,
    problem: Problem,
    held_out: Problem,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    num_seeds: int,
    every: int,
) -> tuple[Float[Array, "num_seeds num_steps"], Float[Array, "num_seeds points"]]:
    """Return learning curves and, at t = every, 2 every, …, T, the held-out f(θ_t)."""
    _check(problem, num_steps, num_seeds)
    if every < 1 or num_steps % every:
        raise UserError(f"{num_steps} steps are not a multiple of {every}; try every=1")

    def run(part: Place | None, size: int) -> tuple[Array, Array]:
        drawn, apart = (draw_all(within(p, part), key, size) for p in (problem, held_out))
        return _held_out_curves(m, drawn, apart, num_steps, every)

    return in_parts(run, num_seeds, _most_at_once(m, problem, key))


@eqx.filter_jit
def _held_out_curves(
    m: AnyOptimizer, drawn: Drawn, held_out: Drawn, num_steps: int, every: int
) -> tuple[Array, Array]:
    fs, theta, minibatch = drawn
    # Held-out minibatches have keys of their own, as those of `drawn` come from `minibatch`.
    apart = jax.random.fold_in(minibatch, num_steps)

    def segment(trajectory: Trajectory, _: None) -> tuple[Trajectory, tuple[Array, Array]]:
        trajectory, losses = unroll(m, fs, trajectory, minibatch, num_steps=every)
        at = jax.random.fold_in(apart, trajectory.step)
        return trajectory, (losses, held_out.fs.loss(trajectory.theta, at))

    begin = start_at(m, fs, theta)
    _, (losses, held_out_losses) = jax.lax.scan(segment, begin, length=num_steps // every)
    return losses.reshape(num_steps, fs.size).T, held_out_losses.T


def summarize(curves: Float[Array | np.ndarray, "seeds steps"], rate: float | None = None) -> Curve:
    """Return the mean over seeds and its 95 % interval (Student's t), step by step."""
    # SciPy comes with JAX. It is imported late, because its import takes long.
    from scipy.special import stdtrit

    losses = np.asarray(curves, np.float64)
    seeds = len(losses)
    mean = losses.mean(0)
    with np.errstate(invalid="ignore"):  # a diverged curve has no interval
        error = losses.std(0, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full_like(mean, np.nan)
    half_width = stdtrit(max(seeds - 1, 1), 0.975) * error
    return Curve(mean, mean - half_width, mean + half_width, rate)


def blown_up(curves: Float[Array | np.ndarray, "seeds steps"]) -> Bool[np.ndarray, " seeds"]:
    """Return the problems on which a curve ends far above its whole first tenth, or not finite."""
    losses = or_infinite(np.asarray(curves, np.float64))
    begin = losses[:, : max(1, losses.shape[1] // 10)]
    size = np.abs(begin).max(1)
    # If a problem is solved at once, its own size says nothing, and that of others is taken.
    limit = begin.max(1) + BLOWN_UP * np.maximum(size, np.median(size))
    ends = np.asarray(final_loss(losses))
    return ~(np.isfinite(ends) & (ends <= limit))


def or_infinite(losses: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return losses with ∞ for those that are not finite, so that they compare as worst."""
    return np.where(np.isfinite(losses), losses, np.inf)


def apart(gone: Bool[np.ndarray, " seeds"]) -> Bool[np.ndarray, " seeds"]:
    """Return which problems that blew up are left out of means: all, or none if they are many."""
    return gone & (APART * gone.sum() <= len(gone))


def ratio(
    losses: Float[np.ndarray, "..."] | float, reference: Float[np.ndarray, "..."] | float
) -> Float[np.ndarray, "..."]:
    """Return losses ÷ reference, NaN where a ratio says nothing, as for losses below 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.divide(losses, reference)
    return np.where(np.greater_equal(losses, 0) & np.greater(reference, 0), quotient, np.nan)


def final_loss(
    curves: Float[Array | np.ndarray, "... steps"],
) -> Float[Array | np.ndarray | np.floating, "..."]:
    """Return the final error of learning curves: the mean over their last tenth."""
    # If f is estimated on minibatches, the loss of a single step would depend on chance.
    num_steps = curves.shape[-1]
    return curves[..., num_steps - max(1, num_steps // 10) :].mean(-1)
