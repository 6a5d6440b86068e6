"""What the doctor measures of a meta-training run: what it logged, and how its best φ does now.

The fresh problems here are those that `metadescent evaluate --seed` one above the run's seed would
report on, so that no problem of training or validation is among them but by chance.
"""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, PRNGKeyArray

from metadescent import zoo
from metadescent._errors import UserError
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import problem_keys
from metadescent.descent.curves import learning_curves
from metadescent.descent.episode import draw
from metadescent.descent.tuning_cache import Progress, cached_tune
from metadescent.descent.unrolling import exact
from metadescent.descent.vitals import response
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.registry import make_optimizer
from metadescent.runs.log import CONFIG, read_config, read_metrics, read_stopped, recipe_from
from metadescent.runs.plan import initial_optimizer
from metadescent.runs.recipe import Recipe

DRAWS = 8
"""How many f are drawn to see whether they differ."""

REPORTS = 4
"""How many times `examine` reports progress."""

HORIZONS = 2
"""The best φ is run this many times as long as it was trained for, as in figure 4, right."""


class Examination(NamedTuple):
    """How the best φ of a run does on fresh problems; curves are f(θ_1), f(θ_2), … a row a problem.

    finite      the share of f(θ_0) on the minibatches of T steps that are finite; θ never moves
    functions   how many of `DRAWS` draws of f differ, by f(θ) and the size of ∇f(θ) at one θ
    responses   how the first update depends on the gradient: at its own size, and at size 1
    gradient    the root mean square of the first gradients
    threshold   the size below which the optimizer disregards a gradient
    rest        curves of doing nothing, T steps
    mine        curves of the best φ, `HORIZONS` T steps
    sgd         curves of SGD at `rate`, which serves it best, T steps

    What could not be measured, as f is not finite, is None.

    Example:
        What there is of an f that is not finite, and what the doctor says of it:

        >>> from metadescent.runs.doctor import diagnose
        >>> found = Examination(finite=0.5, functions=8, rest=np.full((1, 2), np.nan))
        >>> diagnose(Checkup(Recipe(), [], None, 0.3, found))[0].verdict
        'the loss is not finite to begin with'
    """

    finite: float
    functions: int
    rest: Float[np.ndarray, "problems T"]
    threshold: float = 0.0
    responses: tuple[float, float] | None = None
    gradient: float | None = None
    mine: Float[np.ndarray, "problems more"] | None = None
    sgd: Float[np.ndarray, "problems T"] | None = None
    rate: float | None = None


class Checkup(NamedTuple):
    """All that the doctor knows of a run.

    metrics      what it logged, epoch by epoch
    stopped      the epoch and meta-step at which the meta-loss ceased to be finite, if it did
    phi_scale    the root mean square of a fresh draw of φ
    examination  None where only the log was read

    Example:
        >>> from metadescent.runs.doctor import diagnose
        >>> stopped = {"epoch": 1, "meta_step": 3}
        >>> diagnose(Checkup(Recipe(), [], stopped, phi_scale=0.3))[0].verdict
        'meta-rate too high'
    """

    recipe: Recipe
    metrics: list[dict[str, Any]]
    stopped: dict[str, Any] | None
    phi_scale: float
    examination: Examination | None = None


def read(folder: Path) -> Checkup:
    """Return what a run's folder says of it.

    Raises:
        UserError: if the folder holds no run.

    Example:
        >>> import json, tempfile
        >>> config = {"problem": "quadratic", "recipe": {"optimizer": "lstm(layers=(4,))"}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, CONFIG).write_text(json.dumps(config))
        ...     found = read(Path(folder))
        >>> found.recipe.optimizer, found.metrics, found.phi_scale > 0
        ('lstm(layers=(4,))', [], True)
    """
    recipe = recipe_from(read_config(folder)["recipe"], folder / CONFIG)
    phi = eqx.filter(make_optimizer(recipe.optimizer, jax.random.key(0)), eqx.is_inexact_array)
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(phi)]
    scale = float(np.sqrt(np.mean(np.concatenate(leaves) ** 2)))
    return Checkup(recipe, read_metrics(folder), read_stopped(folder), scale)


def best_of(folder: Path, recipe: Recipe) -> LearnedOptimizer:
    """Return the best φ of a run so far; where no epoch ended, the φ that it began with.

    Example:
        >>> import shutil, tempfile
        >>> recipe = Recipe(optimizer="lstm(layers=(4,))")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     begun = best_of(Path(folder), recipe)
        ...     _ = shutil.copy(zoo.path("mnist-lstm"), Path(folder, "optimizer.safetensors"))
        ...     best = best_of(Path(folder), recipe)
        >>> begun.layers, best.layers
        ((4,), (20, 20))
    """
    if (folder / "optimizer.safetensors").exists():
        return zoo.load(folder)
    return initial_optimizer(recipe)


def examine(
    m: LearnedOptimizer,
    problem: Problem,
    recipe: Recipe,
    *,
    num_seeds: int = 32,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Examination:
    """Measure an optimizer that a recipe has made, on fresh problems.

    Arguments:
        m: the optimizer.
        problem: p(f), what it was trained on or something else.
        recipe: of which the horizon, its seed and no more is used.
        num_seeds: fresh problems; SGD's rate is tuned on as many others, and at least 32.
        cache: folder where tuned rates are kept and looked up; none if not given.
        progress: told what has been done, `REPORTS` times at most.

    Example:
        >>> from metadescent.optimizers.partitioned import ByHand
        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jax.numpy.ones(()))
        >>> recipe = Recipe(steps=1, unroll=1)
        >>> found = examine(ByHand(optax.sgd(0.25)), f, recipe, num_seeds=1)
        >>> found.finite, found.functions, found.rest.tolist(), found.mine.tolist()
        (1.0, 1, [[1.0]], [[0.25, 0.0625]])
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
    found = Examination(finite, functions, rest, m.threshold())
    if finite < 1.0:
        return found
    responses = response(m, problem, key, min(num_seeds, DRAWS))
    own_size, size_one, gradient = (float(value) for value in responses)
    progress("looked at the first update")
    mine = learning_curves(m, problem, key, num_steps=HORIZONS * steps, num_seeds=num_seeds)
    progress("ran the best φ")
    found = found._replace(
        responses=(own_size, size_one), gradient=gradient, mine=np.asarray(mine, np.float64)
    )
    try:
        tuned = cached_tune("sgd", problem, tune_key, steps, max(num_seeds, 32), cache)
    except UserError:  # no rate is better than its neighbours
        return found
    sgd = BASELINES["sgd"].make(tuned.rate)
    curves = learning_curves(sgd, problem, key, num_steps=steps, num_seeds=num_seeds)
    progress("tuned and ran SGD")
    return found._replace(sgd=np.asarray(curves, np.float64), rate=tuned.rate)


@eqx.filter_jit
def _draws(problem: Problem, key: PRNGKeyArray) -> Float[jax.Array, "draws 2"]:
    """Return, at one θ, f and the size of ∇f for some draws of f, each with its own minibatch."""
    fs, keys = draw(problem, key, DRAWS)
    theta = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), fs.init(keys.theta))
    losses, gradients = exact(fs, theta, keys.minibatch)
    squares = [jnp.sum(x**2, range(1, x.ndim)) for x in jax.tree.leaves(gradients)]
    return jnp.stack([losses, sum(squares, jnp.zeros(DRAWS))], axis=1)
