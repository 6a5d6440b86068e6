"""Learning an optimizer for a family of one's own as a person sees it: look, try, train, judge."""

import itertools
import math
import os
import shlex
from dataclasses import asdict
from pathlib import Path

from metadescent._errors import UserError
from metadescent._lines import say
from metadescent.cli.command import as_words
from metadescent.cli.console import output, progress, table
from metadescent.cli.tables import print_comparison
from metadescent.cli.train import Train
from metadescent.registry import make_problem
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.learning import asked_for, learn_in
from metadescent.runs.folder import OPTIMIZER, check_free, read_choice, resumption
from metadescent.runs.naming import absolute
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import patient

MINUTES = 10.0


def learn(command: Train) -> None:
    """Do all that `train` does where the recipe is its to choose."""
    folder, kept, recipe = command.folder, read_choice(command.folder), command.recipe
    check_free(folder, command.resume)
    minutes = command.minutes or MINUTES
    asked = asked_for(command.problem_name, minutes, recipe.steps, recipe.seed)
    name = command.problem_name
    if kept:
        asked = kept["asked"]
        # As it is found from this folder.
        home = Path((kept.get("origin") or {}).get("folder") or Path.cwd())
        name = asked["problem"]
        if home != Path.cwd():
            name = str(absolute("problem", name, home))
        if command.minutes and command.minutes != asked["minutes"]:
            raise UserError(
                f"{folder} was begun with {asked['minutes']:g} minutes and --minutes is "
                f"{command.minutes:g}; leave it out or choose another folder"
            )
    compile_quickly()
    problem = make_problem(name, command.data_dir)
    with patient() as patience:
        learned = learn_in(
            folder,
            problem,
            asked,
            problem_name=name,
            bar=progress,
            say=_say_choice,
            warn=lambda text: say(f"Warning: {text}."),
            data_dir=command.data_dir,
            check=lambda where: patience.check(f"{where}; go on with {resumption(folder)}"),
        )
    print_comparison(learned.comparison)
    for line in learned.advice:
        output().print(line)
    output().print(f"The optimizer is {folder / OPTIMIZER}. Without the search:")
    output().print(_without_search(asked["problem"], learned.recipe))


def _without_search(problem: str, recipe: Recipe) -> str:
    """Return the command that trains by a recipe at once."""
    chosen, usual = asdict(recipe), asdict(Recipe())
    words = [as_words(name, value) for name, value in chosen.items() if value != usual[name]]
    return shlex.join(["metadescent", "train", problem, *itertools.chain(*words)])


def compile_quickly() -> None:
    """Have XLA compile in half of the time, if it has not begun: programs are run for seconds."""
    # Most of a short trial would be compilation; how much slower programs are depends on them.
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_optimization_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=1".strip()


def _say_choice(journal: Journal) -> None:
    """Print what came of the trials."""
    seen = journal.look()
    assert seen is not None
    rows = [
        [result.name, _r(result.best), _r(result.start), str(result.epochs), result.optimizer]
        for result in sorted(journal.trials(), key=lambda result: result.best)
    ]
    columns = ["trial", "trained", "untrained", "epochs", "optimizer"]
    output().print(
        table(f"Time to what {seen.best} gets to, whose own is 1", columns, rows, ["optimizer"])
    )


def _r(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"
