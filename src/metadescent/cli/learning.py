"""Learning an optimizer for the user's own problems, in print: look, try, train, judge."""

import itertools
import math
import os
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._lines import say
from metadescent.cli.command import as_words
from metadescent.cli.console import output, progress, table
from metadescent.cli.tables import print_comparison
from metadescent.cli.train import Train, to_be_chosen
from metadescent.registry import make_problem, recipe_of
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.kept import AS_IT_BEGINS
from metadescent.runs.choice.learning import asked_for, learn_in
from metadescent.runs.folder import OPTIMIZER, check_free, read_choice, resumption
from metadescent.runs.loggers.names import make_loggers
from metadescent.runs.naming import absolute, canonical
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import patient

MINUTES = 10.0


def learn_and_say(command: Train) -> None:
    """Do what `train` does if it has to choose the recipe."""
    folder, kept, recipe = command.folder, read_choice(command.folder), command.recipe
    check_free(folder, command.resume)
    _check_alone(command, kept is not None)
    minutes, name, data_dir = command.minutes or MINUTES, command.problem_name, command.data_dir
    asked = asked_for(name, minutes, recipe.steps, recipe.seed)
    if kept:
        # Files are named as they are found from this folder.
        home = Path((kept.get("origin") or {}).get("folder") or Path.cwd())
        _check_same(folder, kept["asked"], asked, home)
        asked = kept["asked"]
        name = asked["problem"]
        if home != Path.cwd():
            name = str(absolute("problem", name, home))
    loggers = make_loggers(command.log)
    compile_quickly()
    problem = make_problem(name, data_dir)
    with patient() as patience:
        learned = learn_in(
            folder,
            problem,
            asked,
            problem_name=name,
            bar=progress,
            say=_say_choice,
            warn=lambda text: say(f"Warning: {text}."),
            data_dir=data_dir,
            loggers=loggers,
            check=lambda where: patience.check(f"{where}; go on with {command.resumption}"),
        )
    print_comparison(learned.comparison)
    for line in learned.advice:
        output().print(line)
    output().print(f"The optimizer is {folder / OPTIMIZER}.")
    if learned.kept == AS_IT_BEGINS:
        output().print(f"It is {learned.recipe.optimizer} as it begins: nothing is to be trained.")
        return
    output().print("This command trains it without the search:")
    again = [("out", f"{folder}-again"), *([("data_dir", data_dir)] if data_dir else [])]
    output().print(_without_search(name, learned.recipe, again))


def _without_search(problem: str, recipe: Recipe, others: list[tuple[str, Any]]) -> str:
    """Return the command that trains at once by a known recipe."""
    usual = asdict(replace(Recipe(), **recipe_of(problem)))
    chosen = [(name, value) for name, value in asdict(recipe).items() if value != usual[name]]
    words = [as_words(name, value) for name, value in [*chosen, *others]]
    return shlex.join(["metadescent", "train", problem, *itertools.chain(*words)])


def _check_alone(command: Train, begun: bool) -> None:
    """Raise a UserError if a flag is given that needs a known recipe."""
    names = ("memory_budget", "processes", "coordinator")
    given = [*command.several, *(name for name in names if getattr(command, name))]
    if given:
        raise to_be_chosen(given[0], begun)


def _check_same(folder: Path, begun: dict[str, Any], asked: dict[str, Any], home: Path) -> None:
    """Raise a UserError if the command asks for something else than the folder was begun with."""
    for name, value in begun.items():
        same = canonical(name, value, home) == canonical(name, asked[name], Path.cwd())
        if value != asked[name] and not same:
            raise UserError(
                f"{folder} was begun with {name} {value} and {asked[name]} was asked for; "
                f"{resumption(folder)} goes on as it was begun, or choose another folder"
            )


def compile_quickly() -> None:
    """Let XLA compile in half of the time, if it has not begun; programs only run for seconds."""
    # Otherwise most of a short trial is compilation. How much slower programs run depends on them.
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_optimization_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=1".strip()


def _say_choice(journal: Journal) -> None:
    """Print the results of the trials."""
    seen = journal.look()
    assert seen is not None
    rows = [
        [result.name, _r(result.best), str(result.epochs), result.optimizer]
        for result in sorted(journal.trials(), key=lambda result: result.best)
    ]
    columns = ["trial", "steps ÷", "epochs", "optimizer"]
    title = f"Steps to the levels of {seen.best} ÷ its own"
    output().print(table(title, columns, rows, ["optimizer"]))


def _r(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
