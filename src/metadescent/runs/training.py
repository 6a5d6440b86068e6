"""Meta-train in a folder: start it, kill it at any moment, resume it."""

import math
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from metadescent import zoo
from metadescent._errors import UserError
from metadescent._files import locked, write_json, write_lines
from metadescent._provenance import hardware, versions
from metadescent.descent.outside import NOT_FINITE
from metadescent.meta.devices import Spread
from metadescent.meta.state import MetaState, is_over
from metadescent.meta.train import MetaInfo, meta_train
from metadescent.problems.base import Problem
from metadescent.runs.checkpoint import load_checkpoint, save_checkpoint
from metadescent.runs.folder import (
    CHECKPOINTS,
    METRICS,
    OPTIMIZER,
    STOPPED,
    check_folder,
    claim,
    read_config,
)
from metadescent.runs.log import read_metrics
from metadescent.runs.loggers.audience import Audience
from metadescent.runs.loggers.base import Logger
from metadescent.runs.metrics import line_of, nonfinite
from metadescent.runs.origin import check_origin, origin_of
from metadescent.runs.plan import Plan
from metadescent.runs.recipe import Recipe
from metadescent.zoo.cards import read_card
from metadescent.zoo.file import save


class NonFiniteError(UserError):
    """The meta-loss or its gradient is NaN or infinite."""


def train(
    folder: Path,
    problem: Problem,
    problem_name: str,
    plan: Plan,
    *,
    resume: bool = False,
    spread: Spread | None = None,
    minutes: float = math.inf,
    data_dir: Path | None = None,
    loggers: Sequence[Logger] = (),
    warn: Callable[[str], object] = warnings.warn,
) -> Generator[tuple[MetaState, MetaInfo]]:
    """Meta-train in a folder, saving everything after each epoch; yield as `meta_train` does.

    A run that is killed at any moment and resumed ends in the same φ, bit for bit. The folder is
    locked from the first epoch until the iterator is exhausted or closed.

    Arguments:
        folder: of the run; it is made if it does not exist.
        problem: p(f).
        problem_name: the problem's name in the folder and in the optimizer's card.
        plan: what the run is computed from, as `plan_of` makes it.
        resume: go on with the run that the folder holds, if it holds one.
        spread: devices to spread the problems over. A run that is resumed on another number of
            devices ends in the same φ up to the order of summation.
        minutes: stop after the epoch in which the run has trained for this long in all.
        data_dir: where the problem's data were read; the folder notes this for when it is resumed.
        loggers: are told of each epoch once it has been saved; none of them can end the run.
        warn: is told, in one sentence, if a damaged checkpoint is skipped or a logger fails.

    Yields:
        The state and the numbers of each epoch; both have already been saved.

    Raises:
        UserError: if the folder holds a run and `resume` is not set, if it holds a run with another
            configuration, or of another f, other data or settings of JAX, if another process trains
            in it, or if the meta-loss ceases to be finite and the recipe says to stop then; the
            sentence says where.

    Example:
        >>> import tempfile
        >>> from metadescent.problems import Quadratic
        >>> from metadescent.runs import plan_of
        >>> plan = plan_of(Recipe(optimizer="lstm(layers=(2,))", steps=4, unroll=2, epochs=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(Path(folder), Quadratic(), "quadratic", plan)
        ...     [int(state.epoch) for state, info in run]
        [1, 2]
    """
    recipe, audience = plan.recipe, Audience(loggers, warn)
    check_folder(folder, problem_name, recipe, resume)
    origin = origin_of(problem, plan.m, plan.estimator, plan.recipe.unroll)
    if data_dir:
        origin["data_dir"] = str(data_dir.resolve())
    check_origin(folder, origin, warn)
    with locked(folder):
        claim(folder, problem_name, recipe, resume, origin)
        config = read_config(folder)
        (folder / STOPPED).unlink(missing_ok=True)
        checkpoints = folder / CHECKPOINTS
        state = load_checkpoint(checkpoints, plan.initial_state, warn=warn)
        # The log may be an epoch ahead of the checkpoint; then that epoch is run again.
        metrics = read_metrics(folder)[: int(state.epoch) if state else 0]
        # The state is read at the end: a run that is closed after its last epoch is over, too.
        with audience.session(folder, config, metrics, lambda: _is_over(state, recipe)):
            seconds, started = (metrics[-1]["seconds"] if metrics else 0.0), time.monotonic()
            if seconds >= 60 * minutes:
                return
            run = meta_train(
                plan.m,
                problem,
                recipe,
                meta_optimizer=plan.meta_optimizer,
                key=plan.key,
                estimator=plan.estimator,
                weights=plan.weights,
                state=state,
                spread=spread,
            )
            for state, info in run:
                if recipe.on_nonfinite == "stop":
                    _check_finite(state, info, recipe, folder)
                elapsed = round(seconds + time.monotonic() - started, 3)
                metrics.append(line_of(state, info, recipe, elapsed))
                # The checkpoint is written last, so that the files it relies on are already there.
                if state.best_epoch == state.epoch:
                    _save_best(folder, state, config, recipe, metrics, minutes)
                write_lines(folder / METRICS, metrics)
                save_checkpoint(checkpoints, state)
                audience.log(metrics[-1])
                yield state, info
                if elapsed >= 60 * minutes:
                    return


def _is_over(state: MetaState | None, recipe: Recipe) -> bool:
    return state is not None and is_over(state, recipe)


def stage_before(recipe: Recipe) -> dict[str, Any] | None:
    """Return how the optimizer in `recipe.init` was trained, None if φ was drawn."""
    if not recipe.init:
        return None
    # Its own card has the stages before, so that all of them can be repeated.
    card = read_card(zoo.path(recipe.init))
    return {key: card.get(key) for key in ("trained_on", "recipe", "budget", "before")}


def _check_finite(state: MetaState, info: MetaInfo, recipe: Recipe, folder: Path) -> None:
    """Raise a NonFiniteError if an epoch met a number that is not finite; note where."""
    broken = nonfinite(info)
    if not broken.any():
        return
    first = int(np.flatnonzero(broken)[0])
    value = float(np.asarray(info.meta_losses).ravel()[first])
    epoch = int(state.epoch)
    write_json(folder / STOPPED, {"epoch": epoch, "meta_step": first + 1})
    # The validation has such a loss before any step, whatever φ is.
    if not np.isfinite(info.vitals.start):
        raise NonFiniteError(NOT_FINITE)
    kept = f"the checkpoint of epoch {epoch - 1} in {folder} is kept; " if epoch > 1 else ""
    raise NonFiniteError(
        f"the meta-loss or its gradient ceased to be finite (loss {value}) at meta-step "
        f"{first + 1} of epoch {epoch}; {kept}try --meta-rate {recipe.meta_rate / 3:.1g}, --clip "
        f"{recipe.clip / 4:.2g} or --on-nonfinite skip in another folder"
    )


def _save_best(
    folder: Path,
    state: MetaState,
    config: dict[str, Any],
    recipe: Recipe,
    metrics: list[dict[str, Any]],
    minutes: float,
) -> None:
    """Write the best φ so far, with everything that is needed to make it again."""
    epoch = int(state.epoch)
    # Choices are named as when the run began, from whatever folder it is resumed.
    named = {**asdict(recipe), **config["recipe"]}
    save(
        folder / OPTIMIZER,
        state.best,
        optimizer=named["optimizer"],
        trained_on=config["problem"],
        recipe=named,
        budget={
            "epoch": epoch,
            "epochs": recipe.epochs,
            "meta_steps": epoch * recipe.updates_per_epoch,
            "seconds": metrics[-1]["seconds"],
            **({"minutes": minutes} if minutes < math.inf else {}),
            **({"extended": config["extended"]} if config.get("extended") else {}),
        },
        seed=recipe.seed,
        before=stage_before(recipe),
        validation={
            "loss": float(state.best_loss),
            # Six digits are enough for a curve to look at.
            "curve": [float(f"{line['validation_loss']:.6g}") for line in metrics],
        },
        hardware=hardware(),
        versions=versions(),
    )


def finished_state(folder: Path, plan: Plan) -> MetaState:
    """Return the last state of a run that has nothing left to do."""
    state = load_checkpoint(folder / CHECKPOINTS, plan.initial_state, warn=lambda _: None)
    if state is None:
        raise UserError(f"{folder} has no checkpoint; try more than 0 epochs")
    return state
