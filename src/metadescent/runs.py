"""A meta-training run as a folder that survives anything: start it, kill it, resume it.

config.json             the problem and the recipe
metrics.jsonl           one line an epoch
stopped.json            where the meta-loss ceased to be finite, if it did
checkpoints/            the whole state after the newest two epochs
optimizer.safetensors   the best optimizer so far, by validation
.lock                   held by the process that trains
"""

import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent import zoo
from metadescent._errors import UserError, require
from metadescent._files import check_writable, is_file, locked, write_json, write_lines
from metadescent._provenance import hardware, versions
from metadescent._spec import groups_of, links, parse
from metadescent.checkpoint import load_checkpoint, save_checkpoint
from metadescent.logs import CONFIG, METRICS, STOPPED, differences, read_config, read_metrics
from metadescent.meta.devices import Spread
from metadescent.meta.estimators.truncated import Truncated
from metadescent.meta.loss import form_for
from metadescent.meta.schedule import Schedule, check_schedule
from metadescent.meta.state import MetaState, initial_state
from metadescent.meta.train import MetaInfo, meta_train
from metadescent.meta.validation import validate
from metadescent.metrics import line_of, nonfinite
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.chained import chain
from metadescent.optimizers.partitioned import Partitioned
from metadescent.problems.base import Problem
from metadescent.recipe import Recipe
from metadescent.registry import make_estimator, make_optimizer, make_rule
from metadescent.zoo import file as artifact


class NonFiniteError(UserError):
    """The meta-loss or its gradient is NaN or infinite.

    Example:
        A person reads it, and the command line ends, as with any other `UserError`:

        >>> try:
        ...     raise NonFiniteError("the meta-loss ceased to be finite at meta-step 3 of epoch 1")
        ... except UserError as error:
        ...     print(error, error.status)
        the meta-loss ceased to be finite at meta-step 3 of epoch 1 2
    """


def schedule_of(recipe: Recipe) -> Schedule:
    """Return the recipe's part that says how long and in which pieces to train.

    Example:
        >>> schedule_of(Recipe(epochs=3, episodes=5, steps=20, unroll=10)).updates
        30
    """
    return Schedule(
        epochs=recipe.epochs,
        episodes=recipe.episodes,
        num_steps=recipe.steps,
        unroll=recipe.unroll,
        validation_problems=recipe.validation_problems,
        validation_steps=recipe.validation_steps,
        patience=recipe.patience,
        least_epochs=recipe.least_epochs,
        average=recipe.average,
        on_nonfinite=recipe.on_nonfinite,
        estimator=make_estimator(recipe.estimator, **asdict(recipe)),
    )


def form_of(m: LearnedOptimizer, recipe: Recipe) -> str:
    """Return the form that the recipe's meta-gradients take, or the estimator that has but one.

    Raises:
        UserError: if the form that the recipe asks for does not suit m.

    Example:
        >>> m = make_optimizer("lstm(layers=(4,))", jax.random.key(0))
        >>> recipes = Recipe(), Recipe(form="plain"), Recipe(estimator="pes")
        >>> [form_of(m, recipe) for recipe in recipes]
        ['two-phase', 'plain', 'pes']
    """
    estimator = schedule_of(recipe).estimator
    if not isinstance(estimator, Truncated):
        return parse(recipe.estimator)[0]
    return form_for(m, estimator.form, estimator.second_derivatives)


@functools.cache
def meta_optimizer_of(recipe: Recipe) -> optax.GradientTransformation:
    """Return the recipe's meta-optimizer: Adam behind a clip, its rate constant or a half cosine.

    It is the same object each time, so that runs of one recipe share their compiled epoch.

    Example:
        >>> meta_optimizer_of(Recipe(clip=1.0)).init({"a": 0.0})[0]
        EmptyState()
    """
    return optax.chain(optax.clip_by_global_norm(recipe.clip), optax.adam(_meta_rate(recipe)))


def _meta_rate(recipe: Recipe) -> optax.Schedule:
    if recipe.decay == "constant":
        return optax.constant_schedule(recipe.meta_rate)
    return optax.cosine_decay_schedule(recipe.meta_rate, schedule_of(recipe).updates)


def initial_optimizer(recipe: Recipe) -> LearnedOptimizer:
    """Return m with the φ that training starts from: that of `recipe.init`, or a fresh draw.

    What the recipe names may differ from what `recipe.init` holds in options that do not shape φ,
    such as the scale of the output: a chain of runs may change them. And it may be a partition
    where `recipe.init` is not: then every learned group starts from that φ. And it may be a chain
    where `recipe.init` is not: then its first rule starts from that φ, and the others as drawn.

    Raises:
        UserError: if `recipe.init` is no optimizer, or one whose φ does not fit.

    Example:
        The φ of a pretrained optimizer, with updates half as long:

        >>> recipe = Recipe(optimizer="lstm(scale=0.05)", init="mnist-lstm")
        >>> m, before = initial_optimizer(recipe), zoo.load("mnist-lstm")
        >>> m.scale, before.scale, bool((m.output.weight == before.output.weight).all())
        (0.05, 0.1, True)
    """
    key = jax.random.split(jax.random.key(recipe.seed))[0]
    if not recipe.init:
        return make_optimizer(recipe.optimizer, key)
    path = zoo.path(recipe.init)
    spec = artifact.read_card(path)["optimizer"]

    def load(wanted: str) -> LearnedOptimizer:
        first, *others = links(wanted)
        if others and ">>" not in spec:
            keys = jax.random.split(key, 1 + len(others))[1:]
            drawn = (make_rule(one, k) for one, k in zip(others, keys, strict=True))
            return chain([load(first), *drawn])
        if spec == wanted:
            return artifact.load(path)
        try:
            return artifact.load(path, make=lambda _, key: make_optimizer(wanted, key))
        except UserError as error:
            raise UserError(
                f"{recipe.init} holds the optimizer {spec}, whose φ does not fit the recipe's "
                f'{wanted}; try --optimizer "{spec}"'
            ) from error

    if "->" in spec or "->" not in recipe.optimizer:
        return load(recipe.optimizer)
    return Partitioned(
        [
            (takes, make_rule(one, key) if one.startswith("optax.") else load(one))
            for takes, one in groups_of(recipe.optimizer)
        ]
    )


def weights_of(recipe: Recipe) -> Float[Array, " steps"]:
    """Return w_1 … w_T of equation 3.

    Raises:
        UserError: if no step is left to count.

    Example:
        >>> weights_of(Recipe(steps=4, weigh_from=3)).tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    require("weigh_from", recipe.weigh_from, 0, recipe.steps - 1)
    return (jnp.arange(recipe.steps) >= recipe.weigh_from).astype(float)


def key_of(recipe: Recipe) -> PRNGKeyArray:
    """Return the key of all that a run draws after φ.

    Example:
        >>> bool(key_of(Recipe(seed=1)) == key_of(Recipe(seed=1, epochs=7)))
        True
        >>> bool(key_of(Recipe(seed=1)) == key_of(Recipe(seed=2)))
        False
    """
    return jax.random.split(jax.random.key(recipe.seed))[1]


def train(
    folder: Path,
    problem: Problem,
    problem_name: str,
    recipe: Recipe,
    *,
    resume: bool = False,
    spread: Spread | None = None,
    warn: Callable[[str], object] = warnings.warn,
) -> Iterator[tuple[MetaState, MetaInfo]]:
    """Meta-train in a folder, saving everything after each epoch; yield what `meta_train` yields.

    Killed at any moment and resumed, a run ends in the same φ, bit for bit. With `spread`, its
    problems are spread over devices; resumed on another number of them, it ends in the same φ up to
    the order of summation. The folder is locked from the first epoch until the iterator is
    exhausted or closed. `warn` is told where a damaged checkpoint is passed over.

    Raises:
        UserError: if the folder holds a run and `resume` is not set, if it holds a run with another
            configuration, if another process trains in it, or if the meta-loss ceases to be finite
            and the recipe says to stop then; the sentence says where.

    Example:
        >>> import tempfile
        >>> from metadescent import load
        >>> from metadescent.problems.quadratic import Quadratic
        >>> sizes = {"steps": 2, "unroll": 2, "epochs": 1, "episodes": 1, "validation_problems": 1}
        >>> recipe = Recipe(optimizer="lstm(layers=(2,))", **sizes)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(Path(folder), Quadratic(2), "quadratic(dimension=2)", recipe)
        ...     epochs = [int(state.epoch) for state, _ in run]
        ...     m = load(Path(folder) / "optimizer.safetensors")
        >>> epochs, m.layers
        ([1], (2,))
    """
    schedule, meta_optimizer = schedule_of(recipe), meta_optimizer_of(recipe)
    weights = weights_of(recipe)
    # What cannot start should not claim the folder.
    check_schedule(schedule)
    m = initial_optimizer(recipe)
    form_of(m, recipe)
    check_folder(folder, problem_name, recipe, resume)
    with locked(folder):
        _claim(folder, problem_name, recipe, resume)
        (folder / STOPPED).unlink(missing_ok=True)
        checkpoints = folder / "checkpoints"
        state = load_checkpoint(checkpoints, initial_state(m, meta_optimizer), warn=warn)
        metrics = read_metrics(folder)[: int(state.epoch) if state else 0]
        seconds, started = (metrics[-1]["seconds"] if metrics else 0.0), time.monotonic()
        run = meta_train(
            m,
            problem,
            schedule,
            meta_optimizer=meta_optimizer,
            key=key_of(recipe),
            weights=weights,
            state=state,
            spread=spread,
        )
        for state, info in run:
            if recipe.on_nonfinite == "stop":
                _check_finite(state, info, recipe, folder)
            elapsed = round(seconds + time.monotonic() - started, 3)
            metrics.append(line_of(state, info, recipe, elapsed))
            # The checkpoint comes last: what it vouches for has been written by then.
            if state.best_epoch == state.epoch:
                _save_best(folder, state, problem_name, recipe, metrics)
            write_lines(folder / METRICS, metrics)
            save_checkpoint(checkpoints, state)
            yield state, info


def validate_init(recipe: Recipe, problem: Problem) -> float:
    """Return the validation loss, in the run of a recipe, of the φ that it starts from.

    Example:
        >>> from metadescent.problems.from_function import FromFunction
        >>> f = FromFunction(lambda theta, key: theta**2, lambda key: jnp.ones(()))
        >>> sizes = {"steps": 2, "unroll": 2, "validation_problems": 1}
        >>> recipe = Recipe("lstm(layers=(), scale=0.0)", **sizes)
        >>> validate_init(recipe, f)  # of an optimizer that does nothing, f(θ_0)
        1.0
    """
    validation_key, _ = jax.random.split(key_of(recipe))
    found = validate(initial_optimizer(recipe), problem, validation_key, schedule_of(recipe))
    return float(found.loss)


def stage_before(recipe: Recipe) -> dict[str, Any] | None:
    """Return how the optimizer was trained that `recipe.init` names, None if φ was drawn.

    An optimizer's file carries this, so that all stages of its training can be repeated.

    Example:
        >>> stage_before(Recipe(init="mnist-lstm"))["trained_on"], stage_before(Recipe())
        ('mnist', None)
    """
    if not recipe.init:
        return None
    card = artifact.read_card(zoo.path(recipe.init))
    return {key: card.get(key) for key in ("trained_on", "recipe", "budget", "before")}


def check_free(folder: Path, resume: bool) -> None:
    """Raise a UserError if the folder cannot be had, or holds a run that is not to be resumed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, CONFIG).write_text("{}")
        ...     check_free(Path(folder), resume=True)
        ...     check_free(Path(folder), resume=False)
        Traceback (most recent call last):
        metadescent.UserError: ... already holds a run; go on with it by --resume or ...
    """
    if is_file(folder):
        raise UserError(f"{folder} is a file and a run is a folder; choose another place")
    if is_file(folder / CONFIG) and not resume:
        raise UserError(
            f"{folder} already holds a run; go on with it by --resume or choose another folder"
        )
    check_writable(folder)


def check_folder(folder: Path, problem_name: str, recipe: Recipe, resume: bool) -> None:
    """Raise a UserError if the folder holds a run that is not to be resumed, or another one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder, CONFIG), {"problem": "mnist", "recipe": asdict(Recipe())})
        ...     check_folder(Path(folder), "mnist", Recipe(), resume=True)
        ...     check_folder(Path(folder), "quadratic", Recipe(), resume=True)
        Traceback (most recent call last):
        metadescent.UserError: ... its problem is 'mnist' and 'quadratic' was asked for; ...
    """
    check_free(folder, resume)
    if not (folder / CONFIG).exists():
        return
    for name, there, here in differences(read_config(folder), problem_name, recipe):
        raise UserError(
            f"{folder} belongs to another configuration: its {name} is {there!r} and {here!r} was "
            "asked for; repeat the run's own flags or choose another folder"
        )


def _config(problem_name: str, recipe: Recipe) -> dict[str, Any]:
    return {"problem": problem_name, "recipe": json.loads(json.dumps(asdict(recipe)))}


def _claim(folder: Path, problem_name: str, recipe: Recipe, resume: bool) -> None:
    for left_over in folder.rglob(".*.tmp"):
        left_over.unlink(missing_ok=True)
    check_folder(folder, problem_name, recipe, resume)
    if not (folder / CONFIG).exists():
        write_json(folder / CONFIG, _config(problem_name, recipe))


def _check_finite(state: MetaState, info: MetaInfo, recipe: Recipe, folder: Path) -> None:
    broken = nonfinite(info)
    if not broken.any():
        return
    first = int(np.flatnonzero(broken)[0])
    value = float(np.asarray(info.meta_losses).ravel()[first])
    epoch = int(state.epoch)
    write_json(folder / STOPPED, {"epoch": epoch, "meta_step": first + 1})
    kept = f"the checkpoint of epoch {epoch - 1} in {folder} is kept; " if epoch > 1 else ""
    raise NonFiniteError(
        f"the meta-loss or its gradient ceased to be finite (loss {value}) at meta-step "
        f"{first + 1} of epoch {epoch}; {kept}try --meta-rate {recipe.meta_rate / 3:.1g}, --clip "
        f"{recipe.clip / 4:.2g} or --on-nonfinite skip in another folder"
    )


def _save_best(
    folder: Path,
    state: MetaState,
    problem_name: str,
    recipe: Recipe,
    metrics: list[dict[str, Any]],
) -> None:
    epoch = int(state.epoch)
    updates = schedule_of(recipe).updates // recipe.epochs
    artifact.save(
        folder / "optimizer.safetensors",
        state.best,
        optimizer=recipe.optimizer,
        trained_on=problem_name,
        recipe=asdict(recipe),
        budget={"epoch": epoch, "meta_steps": epoch * updates, "seconds": metrics[-1]["seconds"]},
        seed=recipe.seed,
        before=stage_before(recipe),
        validation={
            "loss": float(state.best_loss),
            "curve": [float(f"{line['validation_loss']:.6g}") for line in metrics],
        },
        hardware=hardware(),
        versions=versions(),
    )


def meta_rate_at(recipe: Recipe, epoch: int) -> float:
    """Return the meta-rate after so many epochs.

    Example:
        >>> meta_rate_at(Recipe(meta_rate=1.0, epochs=10, decay="constant"), 5)
        1.0
    """
    updates = schedule_of(recipe).updates // recipe.epochs * epoch
    return float(np.asarray(_meta_rate(recipe)(updates)))


def finished_state(folder: Path, recipe: Recipe) -> MetaState:
    """Return the last state of a run that has nothing left to do.

    Example:
        >>> import tempfile
        >>> recipe = Recipe(optimizer="lstm(layers=(4,))", epochs=7)
        >>> state = initial_state(initial_optimizer(recipe), meta_optimizer_of(recipe))
        >>> state = state._replace(epoch=jnp.asarray(7))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_checkpoint(Path(folder, "checkpoints"), state)
        ...     int(finished_state(Path(folder), recipe).epoch)
        7
    """
    like = initial_state(initial_optimizer(recipe), meta_optimizer_of(recipe))
    state = load_checkpoint(folder / "checkpoints", like, warn=lambda _: None)
    if state is None:
        raise UserError(f"{folder} has no checkpoint; try more than 0 epochs")
    return state


def trials(recipe: Recipe, count: int) -> list[Recipe]:
    """Return `count` short recipes whose meta-rates are drawn log-uniformly from [1e-4, 3e-2].

    A trial has a fifth of the epochs; draws depend on the recipe's seed only.

    Example:
        >>> [trial.epochs for trial in trials(Recipe(epochs=50), 2)]
        [10, 10]
    """
    exponents = np.random.default_rng(recipe.seed).uniform(-4.0, np.log10(3e-2), count)
    epochs = max(1, recipe.epochs // 5)
    return [replace(recipe, meta_rate=float(10.0**e), epochs=epochs) for e in exponents]


def validate_trial(folder: Path, problem: Problem, problem_name: str, recipe: Recipe) -> float:
    """Run a trial to its end, or go on with it, and return its best validation loss.

    A trial whose meta-loss ceases to be finite counts as infinitely bad.

    Example:
        A trial that was finished before is not run again:

        >>> import tempfile
        >>> from metadescent.problems.quadratic import Quadratic
        >>> recipe = Recipe(optimizer="lstm(layers=(4,))", epochs=1)
        >>> state = initial_state(initial_optimizer(recipe), meta_optimizer_of(recipe))
        >>> state = state._replace(epoch=jnp.asarray(1), best_loss=jnp.asarray(0.25))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_checkpoint(Path(folder, "checkpoints"), state)
        ...     validate_trial(Path(folder), Quadratic(), "quadratic", recipe)
        0.25
    """
    try:
        for _ in train(folder, problem, problem_name, recipe, resume=True):
            pass
        return float(finished_state(folder, recipe).best_loss)
    except NonFiniteError:
        return float("inf")
