"""More epochs for a run than it was begun with, by their number or by the time they take."""

from dataclasses import replace
from pathlib import Path

from metadescent._errors import UserError
from metadescent._files import locked, write_json
from metadescent._text import number
from metadescent.meta.state import is_over
from metadescent.problems.base import Problem
from metadescent.runs.checkpoint import load_checkpoint
from metadescent.runs.folder import CHECKPOINTS, CONFIG, check_folder, read_choice, read_config
from metadescent.runs.log import read_metrics
from metadescent.runs.origin import check_origin, origin_of
from metadescent.runs.plan import Plan
from metadescent.runs.recipe import Recipe


def epochs_of(folder: Path) -> int:
    """Return how many epochs the run in a folder is to have."""
    return read_config(folder)["recipe"].get("epochs", Recipe.epochs)


def epochs_within(folder: Path, minutes: float) -> int:
    """Return how many epochs a run will have once it has taken so many minutes in all.

    Epochs are as long as those before. A run whose recipe was chosen has taken the minutes that
    were asked for, because trials are a part of them.
    """
    lines, choice = read_metrics(folder), read_choice(folder)
    if not lines:
        return 0
    spent = trained = lines[-1]["seconds"]
    if choice:
        longer = read_config(folder).get("extended", [])
        as_chosen = lines[longer[0]["epoch"] - 1]["seconds"] if longer else trained
        spent = 60 * choice["asked"]["minutes"] + trained - as_chosen
    return len(lines) + max(0, int((60 * minutes - spent) * len(lines) / trained))


def extended(folder: Path, problem: Problem, problem_name: str, plan: Plan) -> str:
    """Set the larger number of epochs of a plan for the run in a folder; say what follows."""
    before, epochs = epochs_of(folder), plan.recipe.epochs
    with locked(folder):
        check_folder(folder, problem_name, replace(plan.recipe, epochs=before), resume=True)
        origin = origin_of(problem, plan.m, plan.estimator, plan.recipe.unroll)
        check_origin(folder, origin, warn=lambda _: None)
        state = load_checkpoint(folder / CHECKPOINTS, plan.initial_state, warn=lambda _: None)
        state = plan.initial_state if state is None else state
        done = int(state.epoch)
        if done < epochs and is_over(state, plan.recipe):
            raise UserError(
                f"{folder} stopped by itself at epoch {done} of {before}, as its best loss was "
                f"{plan.recipe.patience} epochs old, which {epochs} epochs do not change; go on in "
                f"another folder by --init {folder} --patience 0"
            )
        config = read_config(folder)
        config["recipe"]["epochs"] = epochs
        config.setdefault("extended", []).append({"epoch": done, "from": before, "to": epochs})
        write_json(folder / CONFIG, config)
    said = f"{folder} is extended from {before} epochs to {epochs} and goes on from epoch {done}"
    # Without a decay nothing depends on the number of epochs: neither draws nor patience.
    if plan.recipe.decay == "constant" or not done:
        return f"{said}, as a run begun with {epochs} epochs does."
    return (
        f"{said}; its meta-rate, half a cosine over {before} epochs until now, goes back to "
        f"{number(plan.meta_rate_at(done))} and falls to 0 by epoch {epochs}, so it ends elsewhere "
        f"than a run begun with {epochs} epochs."
    )
