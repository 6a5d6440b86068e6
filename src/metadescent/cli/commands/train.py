"""`train` and `demo`: learn an optimizer, in a folder that survives kills."""

import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metadescent._errors import UserError
from metadescent._files import locked, write_json
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.commands.doctor import summarize
from metadescent.cli.commands.show import plot, show
from metadescent.cli.console import console, figure, progress, table
from metadescent.descent.baselines import STANDARD
from metadescent.descent.comparison import compare
from metadescent.meta.schedule import Form
from metadescent.meta.state import MetaState
from metadescent.registry import make_problem, recipe_of
from metadescent.runs import train as runs
from metadescent.runs.checkpoint import latest_epoch
from metadescent.runs.cluster import gang
from metadescent.runs.cluster.executors import engine_of
from metadescent.runs.cluster.seats import seat_of
from metadescent.runs.cluster.tasks import Training, train_all, training
from metadescent.runs.curriculum import improved, keep, stages
from metadescent.runs.events import event_log
from metadescent.runs.fit import fitted
from metadescent.runs.folder import CHECKPOINTS, check_free
from metadescent.runs.log import CONFIG, METRICS, read_metrics
from metadescent.runs.memory import parse_bytes
from metadescent.runs.metrics import line_of, said_of
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.search import trials
from metadescent.runs.signals import patient


@run.register
def _demo(command: arguments.Demo) -> None:
    began = time.monotonic()
    recipe = replace(Recipe(), **{**recipe_of("quadratic"), "epochs": command.epochs})
    learned = command.out / "quadratic-lstm"
    with locked(learned):
        _forget(learned)
    state = train(learned, "quadratic", recipe, None, resume=False)
    problem = make_problem("quadratic")
    with progress("compare", 2 * len(STANDARD) + 1) as report:
        result = compare(
            {"LSTM": state.best},
            problem,
            "quadratic",
            num_steps=recipe.steps,
            num_seeds=command.seeds,
            # A rate that diverges on one function in a thousand must be seen to, before the report.
            tune_seeds=4 * command.seeds,
            seed=recipe.seed + 1,
            progress=lambda text: report(text, 1),
        )
    show(result)
    plot(result, command.out / "demo")
    write_json(command.out / "demo.json", result.to_json())
    seconds = time.monotonic() - began
    console().print(
        f"The optimizer is {learned / 'optimizer.safetensors'}, the curves are "
        f"{command.out / 'demo.png'}; {seconds:.0f} s in all."
    )


@run.register
def _train_command(command: arguments.Train) -> None:
    seat = seat_of(command.coordinator, command.processes, command.process_id, os.environ)
    if seat and (command.search or command.seeds > 1):
        flag = "search" if command.search else "seeds"
        raise UserError(
            f"--{flag} is {getattr(command, flag)}, which --workers or --scheduler share out and "
            "not processes that train together; leave one of them out"
        )
    with gang.seated(seat):
        if gang.is_leader():
            _lead(command)
            return
        with patient() as patience:
            gang.follow(command.data_dir, patience)
    # The leader has said that this is the end: they part as they would without a signal.
    patience.check(gang.AT_HAND)


def _lead(command: arguments.Train) -> None:
    folder = command.out or Path("runs") / command.problem.replace("/", "-")
    recipe = command.recipe
    # What cannot start should not claim a folder.
    recipe.check_horizon()
    if command.search:
        check_free(folder, command.resume)
        recipe = _search(folder, command)
    if command.seeds > 1:
        _train_seeds(folder, command, recipe)
        return
    if command.curriculum:
        _train_in_stages(folder, command, recipe)
        return
    budget = _budget(command)
    state = train(
        folder,
        command.problem,
        recipe,
        command.data_dir,
        resume=command.resume,
        budget=budget,
        tensorboard=command.tensorboard,
    )
    if int(state.best_epoch) == 0:
        summarize(folder)
        raise UserError(
            f"no validation in {folder} was finite, so no optimizer is kept; try --meta-rate "
            f"{recipe.meta_rate / 3:.1g} in another folder"
        )
    console().print(
        f"Best validation loss {figure(float(state.best_loss))} at epoch {int(state.best_epoch)}: "
        f"{folder / 'optimizer.safetensors'}"
    )
    summarize(folder)


def train(
    folder: Path,
    problem_name: str,
    recipe: Recipe,
    data_dir: Path | None,
    *,
    resume: bool,
    budget: int | float = math.inf,
    tensorboard: bool = False,
) -> MetaState:
    """Meta-train in a folder with a progress bar; return the last state.

    With a budget of memory, a new run takes the quickest form that fits it.
    """
    check_free(folder, resume)
    problem = make_problem(problem_name, data_dir)
    state: MetaState | None = None
    done = latest_epoch(folder / CHECKPOINTS) if resume else 0
    spread = gang.lead(problem_name, recipe)
    plan = plan_of(recipe)
    bar, events = progress("meta-train", recipe.epochs, done), event_log(folder, tensorboard)
    with events as log, bar as report:
        plan = fitted(
            folder,
            problem,
            problem_name,
            plan,
            resume=resume,
            say=_say,
            budget=budget,
            spread=spread,
        )
        if plan.recipe != recipe:
            spread = gang.lead(problem_name, plan.recipe)
        run = runs.train(
            folder, problem, problem_name, plan, resume=resume, spread=spread, warn=_warn
        )
        with patient() as patience:
            for state, info in run:
                line = line_of(state, info, plan.recipe, 0.0)
                report(
                    f"meta-loss {figure(line['meta_loss'])}, "
                    f"validation {figure(line['validation_loss'])} "
                    f"(best {figure(line['best_loss'])}), "
                    f"meta-rate {plan.meta_rate_at(line['epoch']):.2g}{said_of(line)}",
                    1,
                )
                if tensorboard:
                    log(read_metrics(folder)[-1])
                # Its checkpoint has been written by now.
                where = f"epoch {line['epoch']} of {recipe.epochs}, which is saved in {folder}"
                patience.check(f"after {where}; go on with train --resume")
    return state if state is not None else runs.finished_state(folder, plan)


def _train_in_stages(folder: Path, command: arguments.Train, recipe: Recipe) -> None:
    """Train through a curriculum; the best φ of the last stage that improved is the folder's."""
    problem = make_problem(command.problem, command.data_dir)
    all_stages = stages(folder, recipe, arguments.parse_horizons(command.curriculum or ""))
    kept: Path | None = None
    for index, stage in enumerate(all_stages, 1):
        console().print(f"Stage {index} of {len(all_stages)}: {stage.recipe.steps} steps.")
        state = train(
            stage.folder,
            command.problem,
            stage.recipe,
            command.data_dir,
            resume=command.resume,
            budget=_budget(command),
            tensorboard=command.tensorboard,
        )
        better = improved(stage, problem, state)
        kept = keep(folder, stage.folder if better else stage.recipe.init)
        if not better:
            console().print("It did not improve on what it began with: the curriculum ends.")
            break
        console().print(
            f"Best validation loss {figure(float(state.best_loss))} at "
            f"{stage.recipe.validation_steps} steps, epoch {int(state.best_epoch)}."
        )
        summarize(stage.folder)
    console().print(f"Best optimizer: {kept}")


def _search(folder: Path, command: arguments.Train) -> Recipe:
    """Return the recipe with the meta-rate that did best in short trials (section 3)."""
    recipe = command.recipe
    candidates = trials(recipe, command.search)
    folders = [folder / "search" / f"trial-{index}" for index in range(len(candidates))]
    form, losses = _train_all("search", folders, candidates, command)
    found = [(loss, trial.meta_rate) for loss, trial in zip(losses, candidates, strict=True)]
    loss, best = min(found)
    if loss == math.inf:
        raise UserError(
            f"no trial of {len(found)} kept a finite meta-loss; try --clip "
            f"{recipe.clip / 4:.2g}, or a smaller scale of the optimizer's output"
        )
    rows = [[f"{rate:.3g}", figure(loss)] for loss, rate in sorted(found)]
    console().print(table("Random search", ["meta-rate", "validation loss"], rows))
    return replace(recipe, meta_rate=best, form=form)


def _train_all(
    title: str, folders: Sequence[Path], recipes: Sequence[Recipe], command: arguments.Train
) -> tuple[Form, list[float]]:
    """Train several times, on the workers that there are; return the form, and the losses."""
    problem = make_problem(command.problem, command.data_dir)
    with progress(title, len(recipes)) as report:
        # In the form of the first, as they differ in nothing that takes memory.
        form = fitted(
            folders[0],
            problem,
            command.problem,
            plan_of(recipes[0]),
            resume=True,
            say=_say,
            budget=_budget(command),
        ).recipe.form
        tasks = [
            training(folder, command.problem, command.data_dir, replace(recipe, form=form))
            for folder, recipe in zip(folders, recipes, strict=True)
        ]

        def say(task: Training, loss: float) -> None:
            rate, seed = task.recipe["meta_rate"], task.recipe["seed"]
            report(f"meta-rate {rate:.2g}, seed {seed}: validation {figure(loss)}", 1)

        losses = train_all(tasks, engine_of(command.workers, command.scheduler), say)
    return form, losses


def _train_seeds(folder: Path, command: arguments.Train, recipe: Recipe) -> None:
    """Train with several seeds; the best of them by validation is the folder's optimizer."""
    recipes = [replace(recipe, seed=recipe.seed + index) for index in range(command.seeds)]
    folders = [folder / f"seed-{one.seed}" for one in recipes]
    if not command.resume:
        for one in folders:
            check_free(one, resume=False)
    _, losses = _train_all("seeds", folders, recipes, command)
    rows = [[str(one.seed), figure(loss)] for one, loss in zip(recipes, losses, strict=True)]
    console().print(table("Seeds", ["seed", "validation loss"], rows))
    finite = [loss for loss in losses if loss < math.inf]
    if not finite:
        raise UserError(
            f"no seed of {len(losses)} kept a finite meta-loss; try --meta-rate "
            f"{recipe.meta_rate / 3:.1g}"
        )
    spread = f", standard deviation {figure(statistics.stdev(finite))}" if len(finite) > 1 else ""
    best = folders[losses.index(min(losses))]
    console().print(
        f"Mean {figure(statistics.mean(finite))}{spread}, of {len(finite)} of {len(losses)}."
    )
    console().print(f"Best validation loss {figure(min(losses))}: {keep(folder, best)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _warn(text: str) -> None:
    print(f"Warning: {text}.", file=sys.stderr)


def _budget(command: arguments.Train) -> int | float:
    return parse_bytes(command.memory_budget) if command.memory_budget else math.inf


def _forget(folder: Path) -> None:
    """Remove what a run left in a folder, and nothing else."""
    for path in [*folder.glob("checkpoints/epoch-*.safetensors"), folder / METRICS]:
        path.unlink(missing_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
