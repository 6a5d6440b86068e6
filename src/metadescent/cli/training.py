"""Meta-training in print: once, in stages, with several seeds, or in search of a rate."""

import contextlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from metadescent._errors import UserError
from metadescent._files import is_file
from metadescent._lines import say
from metadescent._spec import calls, parse
from metadescent._text import nearest, number
from metadescent.cli.command import attributed
from metadescent.cli.console import output, progress, table
from metadescent.cli.train import Train
from metadescent.cli.verdicts import print_summary, print_verdicts
from metadescent.descent.outside import NOT_FINITE
from metadescent.meta.schedule import Form
from metadescent.meta.state import MetaState, is_over
from metadescent.registry import make_problem, problems
from metadescent.runs import training
from metadescent.runs.checkpoint import latest_epoch
from metadescent.runs.cluster import gang, tasks
from metadescent.runs.cluster.executors import engine_of
from metadescent.runs.cluster.sweeps import sweep
from metadescent.runs.curriculum import improved, keep_optimizer, stages
from metadescent.runs.extension import epochs_of, epochs_within, extended
from metadescent.runs.fit import fitted
from metadescent.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    OPTIMIZER,
    check_free,
    check_kept,
    resumption,
)
from metadescent.runs.log import read_metrics
from metadescent.runs.loggers.base import Logger
from metadescent.runs.loggers.names import make_loggers, names_in
from metadescent.runs.metrics import line_of, nonfinite_note
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.search import trials
from metadescent.runs.signals import patient
from metadescent.zoo.catalogue import pinned


def carry_out(command: Train) -> None:
    """Do what the command asks for."""
    # A command that cannot start should not claim a folder.
    _check_named(command)
    command.recipe.check_horizon()
    # All runs begin with the same φ, even if the Hub gets another one meanwhile.
    recipe = replace(command.recipe, init=str(pinned(command.recipe.init)))
    command = replace(command, recipe=recipe)
    loggers = make_loggers(command.log)
    if command.search:
        check_free(command.folder, command.resume)
        recipe = _search(command)
    if command.seeds > 1:
        _train_seeds(command, recipe)
    elif command.horizons:
        _train_in_stages(command, recipe, loggers)
    else:
        command = _in_epochs(command)
        _train_once(command, command.recipe, loggers)


def _in_epochs(command: Train) -> Train:
    """Return the command with the epochs of its minutes, if it goes on with a run that is done."""
    folder, epochs = command.folder, command.recipe.epochs
    # Endless minutes are no number of epochs.
    is_bounded = 0 < command.minutes < math.inf
    if not (command.begun and is_bounded) or latest_epoch(folder / CHECKPOINTS) < epochs:
        return command
    longer = max(epochs, epochs_within(folder, command.minutes))
    # The minutes are spent on these epochs; a last one that takes longer is not left out.
    return replace(command, recipe=replace(command.recipe, epochs=longer), minutes=0.0)


def train_and_say(
    folder: Path,
    problem_name: str,
    recipe: Recipe,
    data_dir: Path | None,
    *,
    resume: bool,
    budget: int | float = math.inf,  # of memory; a new run takes the quickest form that fits
    command: str = "train",  # the command that this is part of
    loggers: Sequence[Logger] = (),
    minutes: float = math.inf,
    extend: bool = False,  # whether to extend a run that has fewer epochs
    go_on: str = "",  # the command that goes on with it, if not the folder's own
) -> MetaState:
    """Meta-train in a folder with a progress bar; return the last state."""
    check_free(folder, resume)
    problem = make_problem(problem_name, data_dir)
    if extend and recipe.epochs > epochs_of(folder):
        say(extended(folder, problem, problem_name, plan_of(recipe)))
    go_on = go_on or resumption(folder)
    state: MetaState | None = None
    done = latest_epoch(folder / CHECKPOINTS) if resume else 0
    spread = gang.lead(problem_name, recipe)
    plan = plan_of(recipe)
    with progress("meta-train", recipe.epochs, done) as report:
        plan = fitted(
            folder,
            problem,
            problem_name,
            plan,
            resume=resume,
            say=lambda text: say(attributed(text, command)),
            budget=budget,
            spread=spread,
        )
        if plan.recipe != recipe:
            # The other processes have to use the same form.
            spread = gang.lead(problem_name, plan.recipe)
        run = training.train(
            folder,
            problem,
            problem_name,
            plan,
            resume=resume,
            spread=spread,
            minutes=minutes,
            data_dir=data_dir,
            loggers=loggers,
            warn=_warn,
        )
        # Closed, so that loggers hear of the end before a second signal counts.
        with patient() as patience, contextlib.closing(run):
            for state, info in run:
                line = line_of(state, info, plan.recipe, 0.0)
                report(
                    f"meta-loss {number(line['meta_loss'])}, "
                    f"validation {number(line['validation_loss'])}, "
                    f"best {number(line['best_loss'])}, "
                    f"meta-rate {plan.meta_rate_at(line['epoch']):.2g}{nonfinite_note(line)}",
                    1,
                )
                # Its checkpoint has already been written.
                where = f"epoch {line['epoch']} of {recipe.epochs}, which is saved in {folder}"
                patience.check(f"after {where}; go on with {go_on}")
    if extend and state is None and done >= recipe.epochs:
        say(f"{folder} has had its {done} epochs; {go_on} --epochs {2 * done} gives it more.")
    state = state if state is not None else training.finished_state(folder, plan)
    if not is_over(state, plan.recipe):
        trained = read_metrics(folder)[-1]["seconds"] / 60
        say(
            f"{folder} has trained for {trained:.3g} minutes, and --minutes is {minutes:g}: it "
            f"stops after epoch {int(state.epoch)} of {recipe.epochs}, which is saved; go on with "
            f"{go_on}"
        )
    return state


def train_ahead(
    stages: Mapping[str, Sequence[tuple[Path, str, Recipe]]],
    workers: int,
    scheduler: str | None,
    data_dir: Path | None,
) -> None:
    """If there are workers, let each train one of the optimizers, with all its stages."""
    if workers == 1 and scheduler is None:
        return
    chains = [
        [tasks.training_task(folder, problem, data_dir, recipe) for folder, problem, recipe in runs]
        for runs in stages.values()
    ]
    with progress("retrain", len(chains)) as report:
        sweep(
            tasks.run_in_turn,
            chains,
            engine_of(workers, scheduler),
            report=lambda chain, _: report(Path(chain[-1].folder).name, 1),
        )


def _check_named(command: Train) -> None:
    """Raise a UserError if a run, or a missing run, is named in place of the problem."""
    name, known = command.problem, problems()
    names = [call.name for call in calls(parse(name))]
    if command.begun or command.out or all(":" in each or each in known for each in names):
        return
    place = Path(name)
    if is_file(place / CONFIG):
        flags = " nor ".join(f"--{flag}" for flag in command.several)
        how = f"takes no {flags}" if command.resume else "goes on with --resume"
        raise UserError(f"{name} is the folder of a run, which {how}; try {resumption(place)}")
    if not command.resume:
        return
    if members := sorted(path.parent for path in place.glob(f"*/{CONFIG}")):
        raise UserError(
            f"{name} holds several runs; repeat the words that began them with --resume, or go on "
            f"with one of them, such as {resumption(members[0])}"
        )
    runs = [
        str(path.parent)
        for pattern in ("", "runs/")
        for path in Path().glob(f"{pattern}*/{CONFIG}")
    ]
    raise UserError(
        f"{name} is neither the folder of a run nor a problem; {nearest(name, [*runs, *known])}"
    )


def _train(folder: Path, command: Train, recipe: Recipe, loggers: Sequence[Logger]) -> MetaState:
    return train_and_say(
        folder,
        command.problem_name,
        recipe,
        command.data_dir,
        resume=command.resume,
        budget=command.budget,
        loggers=loggers,
        minutes=command.minutes or math.inf,
        extend=command.begun,
        go_on=command.resumption,
    )


def _train_once(command: Train, recipe: Recipe, loggers: Sequence[Logger]) -> None:
    folder = command.folder
    state = _train(folder, command, recipe, loggers)
    # Epoch 0 means that the best φ is still the initial one.
    if int(state.best_epoch) == 0:
        print_summary(folder)
        if (read_metrics(folder) or [{}])[-1].get("start", 0.0) is None:
            raise UserError(NOT_FINITE)
        raise UserError(
            f"no validation in {folder} was finite, so no optimizer is kept; try --meta-rate "
            f"{recipe.meta_rate / 3:.1g} in another folder"
        )
    output().print(
        f"Best validation loss {number(float(state.best_loss))} at epoch {int(state.best_epoch)}: "
        f"{folder / OPTIMIZER}"
    )
    print_verdicts(folder, make_problem(command.problem_name, command.data_dir))


def _train_in_stages(command: Train, recipe: Recipe, loggers: Sequence[Logger]) -> None:
    """Train through a curriculum; keep the best φ of the last stage that improved."""
    problem = make_problem(command.problem_name, command.data_dir)
    all_stages = stages(command.folder, recipe, command.horizons, command.resume)
    check_kept(command.folder, [stage.folder for stage in all_stages], command.resume)
    kept: Path | None = None
    for index, stage in enumerate(all_stages, 1):
        output().print(f"Stage {index} of {len(all_stages)}: {stage.recipe.steps} steps.")
        state = _train(stage.folder, command, stage.recipe, loggers)
        better = improved(stage, problem, state)
        kept = keep_optimizer(command.folder, stage.folder if better else stage.recipe.init)
        if not better:
            output().print("It did not improve on what it began with: the curriculum ends.")
            break
        output().print(
            f"Best validation loss {number(float(state.best_loss))} at "
            f"{stage.recipe.validation_steps} steps, epoch {int(state.best_epoch)}."
        )
        print_summary(stage.folder)
    output().print(f"Best optimizer: {kept}")


def _search(command: Train) -> Recipe:
    """Return the recipe with the meta-rate that did best in short trials (section 3)."""
    recipe = command.recipe
    candidates = trials(recipe, command.search)
    folders = [command.folder / "search" / f"trial-{index}" for index in range(len(candidates))]
    for trial in folders:
        check_free(trial, resume=True, member=True)
    form, losses = _train_all("search", folders, candidates, command)
    rates = [trial.meta_rate for trial in candidates]
    ranked = sorted(zip(losses, rates, strict=True))
    least, best = ranked[0]
    # The minimum is infinite only if all are.
    if least == math.inf:
        raise UserError(
            f"no trial of {len(ranked)} kept a finite meta-loss; try --clip "
            f"{recipe.clip / 4:.2g}, or a smaller scale of the optimizer's output"
        )
    rows = [[f"{rate:.3g}", number(loss)] for loss, rate in ranked]
    output().print(table("Random search", ["meta-rate", "validation loss"], rows))
    return replace(recipe, meta_rate=best, form=form)


def _train_seeds(command: Train, recipe: Recipe) -> None:
    """Train with several seeds; keep the optimizer with the best validation loss."""
    recipes = [replace(recipe, seed=recipe.seed + index) for index in range(command.seeds)]
    folders = [command.folder / f"seed-{seeded.seed}" for seeded in recipes]
    check_kept(command.folder, folders, command.resume)
    _, losses = _train_all("seeds", folders, recipes, command, names_in(command.log))
    rows = [[str(seeded.seed), number(loss)] for seeded, loss in zip(recipes, losses, strict=True)]
    output().print(table("Seeds", ["seed", "validation loss"], rows))
    finite = [loss for loss in losses if loss < math.inf]
    if not finite:
        raise UserError(
            f"no seed of {len(losses)} kept a finite meta-loss; try --meta-rate "
            f"{recipe.meta_rate / 3:.1g}"
        )
    # A single value has no standard deviation.
    spread = f", standard deviation {number(statistics.stdev(finite))}" if len(finite) > 1 else ""
    output().print(
        f"Mean {number(statistics.mean(finite))}{spread}, of {len(finite)} of {len(losses)}."
    )
    best = folders[losses.index(min(losses))]
    kept = keep_optimizer(command.folder, best)
    output().print(f"Best validation loss {number(min(losses))}: {kept}")


def _train_all(
    title: str,
    folders: Sequence[Path],
    recipes: Sequence[Recipe],
    command: Train,
    loggers: Sequence[str] = (),
) -> tuple[Form, list[float]]:
    """Train several times, on workers if there are any; return the form and the losses."""
    problem = make_problem(command.problem_name, command.data_dir)
    with progress(title, len(recipes)) as report:
        # All take the form of the first, because they need the same memory.
        form = fitted(
            folders[0],
            problem,
            command.problem_name,
            plan_of(recipes[0]),
            resume=True,
            say=say,
            budget=command.budget,
        ).recipe.form
        runs = [
            tasks.training_task(
                folder, command.problem_name, command.data_dir, replace(recipe, form=form), loggers
            )
            for folder, recipe in zip(folders, recipes, strict=True)
        ]

        def tell(run: tasks.Training, loss: float) -> None:
            rate, seed = run.recipe["meta_rate"], run.recipe["seed"]
            report(f"meta-rate {rate:.2g}, seed {seed}: validation {number(loss)}", 1)

        losses = tasks.run_trainings(runs, engine_of(command.workers, command.scheduler), tell)
    return form, losses


def _warn(text: str) -> None:
    say(f"Warning: {text}.")
