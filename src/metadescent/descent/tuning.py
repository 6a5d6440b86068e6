"""The learning rate with the best final error for a hand-designed optimizer (section 3)."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from metadescent import _show
from metadescent._errors import UserError, require, require_choice
from metadescent._text import number
from metadescent.descent.at_rate import AtRate
from metadescent.descent.baselines import BASELINES, VARIANTS, baseline_of
from metadescent.descent.curves import (
    BLOWN_UP,
    curves_from,
    final_loss,
    learning_curves,
    or_infinite,
    theta_shapes,
)
from metadescent.descent.episode import Drawn, draw_all
from metadescent.descent.outside import LOOKED_AT, check_start
from metadescent.problems.base import Problem

Progress = Callable[[str], None]
Within = Callable[[str, float], object]
"""Called with words, and with the share that is done of the task that the words are about."""

POINTS_PER_DECADE = 4
MOST_POINTS = 80
DRAWS = 8
"""How many minibatches are compared: if there are few examples, two may be the same by chance."""
COLUMNS = ("rate", "final loss", "diverged", "")
FLAT = 0.02
"""Rates whose final loss is above the least by at most this part of it are level with the best."""
LARGE = 100_000
"""Coordinates of all problems from which on rates go in turn: slower, but progress can be seen."""


class Tuned(NamedTuple):
    """The outcome of a search: the best rate, and the final errors over the whole grid.

    `diverged` has, for each rate, the number of problems on which the loss blew up.
    """

    rate: float
    grid: list[float]
    final_losses: list[float]
    criterion: str  # what "best" means, in words
    diverged: Sequence[int] | None = None

    @property
    def flat(self) -> tuple[float, float]:
        """Return the lowest and the highest of the rates around the best that are level with it.

        A search only says that the best rate lies between them.
        """
        if self.rate not in self.grid:
            return self.rate, self.rate
        best = self.grid.index(self.rate)
        most = self.final_losses[best] + FLAT * abs(self.final_losses[best])
        level = [loss <= most for loss in self.final_losses]  # False for NaN
        below = itertools.takewhile(lambda k: level[k], range(best, -1, -1))
        above = itertools.takewhile(lambda k: level[k], range(best, len(level)))
        return self.grid[min(below, default=best)], self.grid[max(above, default=best)]

    def plot(self) -> Any:
        """Return a figure of final losses over rates."""
        return _show.plot(self)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the grid as rows: rate, final loss, problems that diverged, best or level."""
        counts = map(str, self.diverged or ["–"] * len(self.grid))
        low, high = self.flat
        words = [
            "best" if rate == self.rate else "level" if low <= rate <= high else ""
            for rate in self.grid
        ]
        return [
            (number(rate), number(loss), count, word)
            for rate, loss, count, word in zip(
                self.grid, self.final_losses, counts, words, strict=True
            )
        ]

    @property
    def span(self) -> str:
        """Return the flat range in words, or nothing if no other rate is level with the best."""
        low, high = self.flat
        return f"{number(low)} – {number(high)}" if low < high else ""

    def _repr_html_(self) -> str:
        return _show.html(self)


def tune(
    name: str,
    problem: Problem,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    num_seeds: int,
    progress: Within = lambda *_: None,
) -> Tuned:
    """Find the rate with the best final error on a logarithmic grid.

    All rates and seeds run in one compiled program, on the same f, θ₀ and minibatches, each from a
    fresh state. If problems are large, or the rule searches along a line, rates run one after the
    other: side by side, all searches would wait for the longest. While the best rate is the grid's
    first or last, the grid grows by a decade there, so the best rate always lies inside the grid.

    The best rate has the least mean over problems, in which no problem counts for more than a loss
    that has blown up: the usual f(θ₀) plus ten times the usual size of f(θ₀). A rate that diverges
    on few problems must therefore be better by that cost on the others, and a single extreme
    problem does not decide. A rate that diverges on more than half of the problems is never best.

    Arguments:
        name: the name of a hand-designed optimizer, such as "adam".
        problem: p(f).
        key: draws the problems that the rates are compared on; use others to report results.
        num_steps: the horizon.
        num_seeds: the number of problems for each rate.
        progress: called with words and the share of the grid that is done, after each rate or
            a part of its problems, or after all rates if they run side by side.

    Raises:
        UserError: if the name is unknown, no rate in 20 decades is better than its neighbours, f
            or ∇f is not finite at θ₀, ∇f is 0 there, or the rule searches along a line and the
            problem draws minibatches.

    Source: section 3, "the rate that gives the best final error for each problem".

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> tuned = tune("sgd", Quadratic(), jax.random.key(0), num_steps=10, num_seeds=8)
        >>> tuned.grid[0] < tuned.rate < tuned.grid[-1]
        True
    """
    require_choice("baseline", name, BASELINES if name not in VARIANTS else VARIANTS)
    require("num_steps", num_steps, 1)
    require("num_seeds", num_seeds, 1)
    baseline = baseline_of(name)
    check_start(problem, key, min(LOOKED_AT, num_seeds), moves=True)
    if baseline.searches_along_line:
        _refuse_minibatches(name, problem, key)
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(theta_shapes(problem, key)))
    in_turn = (
        baseline.searches_along_line or problem.at_once is not None or num_seeds * size >= LARGE
    )
    # A rate is 10^(k / POINTS_PER_DECADE), and k its key.
    losses: dict[int, Float[np.ndarray, " problems"]] = {}
    nothing: Float[np.ndarray, " problems"] | None = None
    sizes: dict[str, Any] = {"num_steps": num_steps, "num_seeds": num_seeds}

    def curves_at(rate: float, **options: Any) -> Array:
        return learning_curves(baseline.at(rate, num_steps), problem, key, **sizes, **options)

    low, high = (POINTS_PER_DECADE * decade for decade in baseline.decades)
    while True:
        new = [k for k in range(low, high + 1) if k not in losses]

        def tell(share: float, count: int = high - low + 1) -> None:
            progress(
                f"tuning {name}, {len(losses)} of {count} rates", (len(losses) + share) / count
            )

        for k in new if in_turn else ():
            curves = curves_at(float(_rates([k])[0]), progress=tell)
            losses[k] = np.asarray(final_loss(curves))
            tell(0.0)
            if nothing is None:
                # A search along a line has its first gradient at θ₀; others stay at a rate of 0.
                still = curves[:, :1] if baseline.searches_along_line else curves_at(0.0)
                nothing = np.asarray(final_loss(still))
        if not in_turn:
            rates = jnp.asarray([0.0, *_rates(new)])
            drawn = draw_all(problem, key, num_seeds)
            nothing, *errors = np.asarray(_final_losses(baseline.make, rates, drawn, num_steps))
            losses.update(zip(new, errors, strict=True))
            tell(0.0)
        assert nothing is not None
        exponents = sorted(losses)
        figures, diverged = _figures([losses[k] for k in exponents], nothing)
        best = exponents[int(np.argmin(figures))]
        if low < best < high:
            break
        if len(losses) > MOST_POINTS:
            raise UserError(
                f"{name} has no best rate from {_rates([low])[0]:.0e} to {_rates([high])[0]:.0e} "
                "on this problem; check that its loss is finite and decreases under small steps"
            )
        low, high = (
            (low - POINTS_PER_DECADE, high) if best == low else (low, high + POINTS_PER_DECADE)
        )
    return Tuned(
        rate=float(_rates([best])[0]),
        grid=_rates(exponents).tolist(),
        final_losses=figures.tolist(),
        criterion=f"mean loss, capped where it blows up, over the last tenth of {num_steps} steps, "
        f"{num_seeds} problems",
        diverged=diverged.tolist(),
    )


def untuned(names: Sequence[str]) -> dict[str, Tuned]:
    """Return, in place of searches, the middle of the grids that searches would begin with."""
    rates = {name: 10.0 ** (sum(baseline_of(name).decades) / 2) for name in names}
    return {name: Tuned(rate, [], [], "not tuned") for name, rate in rates.items()}


def baselines_for(problem: Problem) -> list[str]:
    """Return the hand-designed optimizers that suit a problem; line searches need an exact f."""
    exact = not draws_minibatches(problem, jax.random.key(0))
    return [name for name, rule in BASELINES.items() if exact or not rule.searches_along_line]


def draws_minibatches(problem: Problem, key: PRNGKeyArray) -> bool:
    """Tell whether f(θ₀) or its gradient depends on the key."""
    return _differing(problem, key) is not None


@eqx.filter_jit
def _by_minibatch(problem: Problem, key: PRNGKeyArray) -> Float[Array, "2 keys"]:
    f = problem.sample(key)
    theta = f.init(key)

    def loss_and_size(key: PRNGKeyArray) -> Float[Array, "2"]:
        loss, gradient = jax.value_and_grad(f.loss)(theta, key)
        return jnp.stack([loss, optax.tree.norm(gradient)])

    # One after another: side by side, the last digit on the same minibatch may differ.
    return jax.lax.map(loss_and_size, jax.random.split(key, DRAWS)).T


def _differing(problem: Problem, key: PRNGKeyArray) -> tuple[str, float, float] | None:
    """Return what differs between two minibatches, and its values, or None if f draws none."""
    # At a θ₀ of 0, for example, all minibatches may have the same loss but different gradients.
    for what, values in zip(("loss", "size of ∇f"), _by_minibatch(problem, key), strict=True):
        first, *others = np.asarray(values).tolist()
        for other in others:
            # Two NaN count as equal.
            if not np.array_equal(first, other, equal_nan=True):
                return what, first, other
    return None


def _refuse_minibatches(name: str, problem: Problem, key: PRNGKeyArray) -> None:
    if differing := _differing(problem, key):
        what, first, second = differing
        raise UserError(
            f"{name} searches along a line, and the {what} there is {first:.6g} on one minibatch "
            f"and {second:.6g} on another; leave {name} out where f draws minibatches"
        )


def _rates(exponents: list[int]) -> Float[np.ndarray, " rates"]:
    return 10.0 ** (np.asarray(exponents) / POINTS_PER_DECADE)


@eqx.filter_jit
def _final_losses(
    make: Callable[[Any, Any], optax.GradientTransformation],
    rates: Float[Array, " rates"],
    drawn: Drawn,
    num_steps: int,
) -> Float[Array, "rates problems"]:
    def losses(rate: Array) -> Any:
        return final_loss(curves_from(AtRate(make, rate, float(num_steps)), drawn, num_steps))

    return jax.vmap(losses)(rates)


def _figures(
    losses: Sequence[Float[np.ndarray, " problems"]], nothing: Float[np.ndarray, " problems"]
) -> tuple[Float[np.ndarray, " rates"], Int[np.ndarray, " rates"]]:
    """Return the figures that rates are compared by, and on how many problems each rate diverges.

    `nothing` has the losses without any steps. Whether a problem diverged depends on its own such
    loss. The median of these losses, which extreme problems do not move, limits the figure of a
    problem.
    """
    ends, begin = (or_infinite(np.asarray(values, np.float64)) for values in (losses, nothing))
    diverged = (~(ends <= begin + BLOWN_UP * np.abs(begin))).sum(1)
    cap = np.median(begin) + BLOWN_UP * np.median(np.abs(begin))
    figures = np.minimum(ends, cap).mean(1)
    return np.where(2 * diverged > len(begin), np.inf, figures), diverged
