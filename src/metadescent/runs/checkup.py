"""What the doctor measures of a meta-training run: its log, and how its best φ does now.

The fresh problems are those that `metadescent evaluate` reports on with a seed one above the
run's. A problem of training or validation is among them only by chance.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, PRNGKeyArray

from metadescent._errors import UserError
from metadescent._spec import Call, parse
from metadescent._text import number
from metadescent.descent.baselines import STANDARD
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.descent.curves import final_loss, learning_curves
from metadescent.descent.episode import draw
from metadescent.descent.standings import standing
from metadescent.descent.tuning import Progress, Tuned
from metadescent.descent.tuning_cache import cached_tune
from metadescent.descent.unrolling import exact
from metadescent.descent.vitals import response
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.chained import InTurn
from metadescent.problems.base import Problem
from metadescent.registry import make_optimizer
from metadescent.runs.folder import CONFIG, OPTIMIZER, config_here
from metadescent.runs.log import read_metrics, read_stopped
from metadescent.runs.outcome import takes_searches
from metadescent.runs.own import load
from metadescent.runs.plan import initial_optimizer
from metadescent.runs.recipe import Recipe, recipe_from

DRAWS = 8
"""How many f are drawn to see whether they differ."""

LEARNED = "learned"
"""What a comparison calls the best φ of a run."""

EXAMINED = 32
"""How many fresh problems an examination takes by default."""

SCALES = (1e-3, 1e-2, 1e-1, 1e1, 1e2)
"""Factors by which updates are multiplied if nothing was learned, to see if their scale is why."""

HORIZONS = 2
"""The best φ is run for this many times the horizon of its training, as in figure 4, right."""


class Examination(NamedTuple):
    """How the best φ of a run does on fresh problems; curves are f(θ_1), f(θ_2), … a row a problem.

    finite      the share of f(θ_0) on the minibatches of T steps that are finite; θ never moves
    functions   how many of `DRAWS` draws of f differ, by f(θ) and the size of ∇f(θ) at one θ
    responses   how the first update depends on the gradient: at its own size, and at size 1
    gradient    the root mean square of the first gradients
    threshold   the size below which the optimizer disregards a gradient
    rest        curves of doing nothing, T steps
    mine        curves of the best φ, `HORIZONS` T steps
    comparison  of the best φ with every baseline at the rate that serves it best, T steps
    rescaled    curves of the best φ, T steps, with its updates multiplied by each of `SCALES`;
                measured if it is not ahead of all that take one gradient a step

    What could not be measured, because f is not finite, is None.
    """

    finite: float
    functions: int
    rest: Float[np.ndarray, "problems T"]
    threshold: float = 0.0
    responses: tuple[float, float] | None = None
    gradient: float | None = None
    mine: Float[np.ndarray, "problems more"] | None = None
    comparison: Comparison | None = None
    rescaled: Mapping[float, Float[np.ndarray, "problems T"]] = {}


class Checkup(NamedTuple):
    """All that the doctor knows of a run.

    metrics      what it logged, epoch by epoch
    stopped      the epoch and meta-step at which the meta-loss ceased to be finite, if it did
    phi_scale    the root mean square of a fresh draw of φ
    examination  None where only the log was read
    """

    recipe: Recipe
    metrics: list[dict[str, Any]]
    stopped: dict[str, Any] | None
    phi_scale: float
    examination: Examination | None = None

    @property
    def gradient(self) -> float | None:
        """Return the root mean square of ∇f at θ_0; if only the log was read, that in the log."""
        if self.examination is not None:
            return self.examination.gradient
        return self.metrics[-1].get("gradient") if self.metrics else None

    def phi_step(self, line: dict[str, Any]) -> float | None:
        """Return the change of φ a meta-step in an epoch ÷ the size of a fresh φ, or None."""
        step = line.get("phi_step")
        return step / self.phi_scale if step is not None and self.phi_scale else None


def read_checkup(folder: Path) -> Checkup:
    """Return what a run's folder says of it, or raise a UserError where it holds no run."""
    recipe = recipe_from(config_here(folder)["recipe"], folder / CONFIG)
    phi = eqx.filter(make_optimizer(recipe.optimizer, jax.random.key(0)), eqx.is_inexact_array)
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(phi)]
    scale = float(np.sqrt(np.mean(np.concatenate(leaves) ** 2)))
    return Checkup(recipe, read_metrics(folder), read_stopped(folder), scale)


def best_of(folder: Path, recipe: Recipe) -> LearnedOptimizer:
    """Return the best φ of a run so far; if no epoch has ended, the φ that it began with."""
    return load(folder) if (folder / OPTIMIZER).exists() else initial_optimizer(recipe)


def count_examined(baselines: Sequence[str]) -> int:
    """Return how many times `examine` reports progress, at most."""
    return 4 + 2 * len(baselines) + 1


def examine(
    m: LearnedOptimizer,
    problem: Problem,
    recipe: Recipe,
    *,
    baselines: Sequence[str] = STANDARD,
    num_seeds: int = EXAMINED,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Examination:
    """Measure an optimizer on fresh problems, at the horizon and beside the seed of a recipe.

    Rates are tuned on as many problems again, and at least 32, and kept in `cache` if given.
    `progress` is told what has been done, `count_examined` times at most.
    """
    tune_key, key = problem_keys((recipe.seed + 1) % 2**32)
    steps = recipe.steps
    nothing = optax.set_to_zero()
    rest = np.asarray(
        learning_curves(nothing, problem, key, num_steps=steps, num_seeds=num_seeds), np.float64
    )
    finite = float(np.isfinite(rest).mean())
    functions = len(np.unique(np.asarray(_draws(problem, key)), axis=0))
    progress("did nothing")
    examination = Examination(finite, functions, rest, m.threshold())
    # No optimizer can learn from data that are NaN.
    if finite < 1.0:
        return examination
    responses = response(m, problem, key, min(num_seeds, DRAWS))
    own_size, size_one, gradient = (float(value) for value in responses)
    progress("looked at the first update")
    mine = learning_curves(m, problem, key, num_steps=HORIZONS * steps, num_seeds=num_seeds)
    progress("ran the best φ")
    examination = examination._replace(
        responses=(own_size, size_one), gradient=gradient, mine=np.asarray(mine, np.float64)
    )
    tuned: dict[str, Tuned] = {}
    for name in baselines:
        # The search fails for a baseline that has no rate better than its neighbours.
        with contextlib.suppress(UserError):
            tuned[name] = cached_tune(name, problem, tune_key, steps, max(num_seeds, 32), cache)
        progress(f"tuned {name}")
    comparison = compare(
        {LEARNED: m},
        problem,
        "",
        baselines=list(tuned),
        num_steps=steps,
        num_seeds=num_seeds,
        seed=(recipe.seed + 1) % 2**32,
        searched=tuned,
        progress=lambda text: progress(text) if text.startswith("ran ") else None,
        timed=True,
    )
    examination = examination._replace(comparison=comparison)
    standings = comparison.standings(LEARNED)
    signs = [beside.sign for name, beside in standings.items() if not takes_searches(name)]
    if min([standing(comparison.losses[LEARNED], rest).sign, *signs]) > 0:
        return examination
    sizes: dict[str, Any] = {"num_steps": steps, "num_seeds": num_seeds}
    rules = {scale: InTurn([m, _Factor(jnp.asarray(scale))]) for scale in SCALES}
    rescaled = {
        scale: np.asarray(learning_curves(rule, problem, key, **sizes), np.float64)
        for scale, rule in rules.items()
    }
    progress("tried other scales")
    return examination._replace(rescaled=rescaled)


class _Factor(LearnedOptimizer):
    """Multiplies the updates that it is fed by a number."""

    factor: Float[jax.Array, ""]

    def init(self, params: Any) -> tuple[()]:
        return ()

    def update(
        self, updates: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        return jax.tree.map(
            lambda update: self.factor.astype(update.dtype) * update, updates
        ), state


def at_scale(optimizer: str, factor: float) -> str:
    """Say how to make the updates of a rule, given by its specification, larger by a factor."""
    spec, scale = (
        parse(optimizer),
        getattr(make_optimizer(optimizer, jax.random.key(0)), "scale", None),
    )
    if not isinstance(spec, Call) or not isinstance(scale, float):
        return f"multiply the updates of {optimizer} by {factor:g}"
    options = spec.options | {"scale": float(f"{scale * factor:.3g}")}
    return f'try --optimizer "{spec._replace(options=options)}"'


@eqx.filter_jit
def _draws(problem: Problem, key: PRNGKeyArray) -> Float[jax.Array, "draws 2"]:
    """Return, at one θ, f and the size of ∇f for some draws of f, each with its own minibatch."""
    fs, keys = draw(problem, key, DRAWS)
    # All share the first θ, because functions that differ may agree if each has a θ of its own.
    theta = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), fs.init(keys.theta))
    losses, gradients = exact(fs, theta, keys.minibatch)
    squares = [jnp.sum(x**2, range(1, x.ndim)) for x in jax.tree.leaves(gradients)]
    return jnp.stack([losses, sum(squares, jnp.zeros(DRAWS))], axis=1)


def measurements(checkup: Checkup) -> list[tuple[str, str]]:
    """Return names and values of all that is known of a run, with a dash for what is not known."""
    # The log of the last epoch.
    line = checkup.metrics[-1] if checkup.metrics else {}
    rows = [
        ("meta-gradient norm, by segment", _several(line.get("gradient_norms") or [])),
        (f"meta-gradients above the clip of {checkup.recipe.clip:g}", _share(line.get("clipped"))),
        ("change of φ a meta-step ÷ size of a fresh φ", number(checkup.phi_step(line))),
        ("update ÷ gradient", number(line.get("update_ratio"))),
        ("preprocessed inputs that saturate", _share(line.get("saturated_inputs"))),
        ("size of h", number(line.get("hidden"))),
        ("h within 5 % of ±1", _share(line.get("saturated_hidden"))),
        ("loss in the last segment, training", number(line.get("training_end"))),
        ("loss in the last segment, validation", number(line.get("validation_end"))),
        ("validation: best loss", number(line.get("best_loss"))),
        ("validation: doing nothing", number(line.get("start"))),
    ]
    return rows if checkup.examination is None else rows + _examined(checkup.examination)


def _examined(exam: Examination) -> list[tuple[str, str]]:
    horizon = exam.rest.shape[1]
    rows = [
        (
            "share of the first update that turns round with ∇",
            number(exam.responses and exam.responses[0]),
        ),
        ("size of the first gradients", number(exam.gradient)),
        (f"loss at the horizon of {horizon} steps", _final(exam.mine, horizon)),
        ("loss of doing nothing there", _final(exam.rest)),
    ]
    if exam.mine is not None:
        rows.append((f"loss after {exam.mine.shape[1]} steps", _final(exam.mine)))
    return rows


def _share(value: float | None) -> str:
    return number(value) if value is None else f"{number(100 * value)} %"


def _several(values: Sequence[float], most: int = 6) -> str:
    """Write a few of many numbers, the first and the last among them."""
    if not values:
        return number(None)
    shown = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    dots = ", … " if len(values) > most else ", "
    return dots.join(number(values[k]) for k in shown)


def _final(curves: np.ndarray | None, steps: int | None = None) -> str:
    return number(None if curves is None else float(final_loss(curves[:, :steps].mean(0))))
