"""`visualize`: what an optimizer proposes, and what others would have proposed in its place."""

from pathlib import Path

import numpy as np

from metadescent import zoo
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.commands.evaluate import baselines_of, name_of
from metadescent.cli.commands.show import tuning_cache
from metadescent.cli.console import console, figure, progress, table
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import problem_keys
from metadescent.descent.traits import size, time_scale
from metadescent.descent.tuning_cache import tune_all
from metadescent.figures.output import save_figure
from metadescent.figures.pictures import FUNCTION_STEPS, pictures
from metadescent.registry import make_problem


@run.register
def _visualize(command: arguments.Visualize) -> None:
    names, m = baselines_of(command.against), zoo.load(command.optimizer)
    mine = name_of(command.optimizer)
    problem = make_problem(command.problem, command.data_dir)
    tune_key, key = problem_keys(command.seed)
    with progress("visualize", len(names) + 1) as report:
        tuned = tune_all(
            names,
            problem,
            tune_key,
            command.steps,
            command.seeds,
            tuning_cache(),
            lambda text: report(text, 1),
        )
        found = pictures(
            {mine: m} | {name: BASELINES[name].make(t.rate) for name, t in tuned.items()},
            problem,
            key,
            num_steps=command.steps,
            count=command.coordinates,
            seed=command.seed,
        )
        report("traced updates", 1)
    rows = [
        [
            name,
            figure(tuned[name].rate if name in tuned else None),
            figure(size(np.asarray(updates))),
            figure(time_scale(np.asarray(updates))),
        ]
        for name, updates in found.seen.updates.items()
    ]
    title = f"Updates along one trajectory of {mine} on {command.problem}, {command.steps} steps"
    console().print(table(title, ["", "rate", "mean |g|", "time scale (steps)"], rows))
    folder = command.out or Path("runs") / "visualize" / mine
    save_figure(found.histories(), folder / "histories")
    console().print(f"Histories of updates: {folder / 'histories'}.png")
    for coordinate in found.coordinates:
        path = folder / f"function-{coordinate}"
        save_figure(found.functions(coordinate), path)
        console().print(f"Coordinate {coordinate}, {FUNCTION_STEPS} steps at most: {path}.png")
