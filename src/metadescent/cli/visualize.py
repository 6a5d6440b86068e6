"""`visualize`: the updates of an optimizer, and those that others would have proposed instead."""

import re
from dataclasses import dataclass
from pathlib import Path

from metadescent._errors import require
from metadescent.cli.command import Command
from metadescent.cli.words import (
    DataDir,
    File,
    Names,
    Optimizer,
    Problem,
    Style,
    Trust,
    name_of,
    read_by,
)


@dataclass(frozen=True)
class Visualize(Command):
    """Draw the updates an optimizer proposes, and those others would have proposed (appendix B)."""

    place = 10

    optimizer: Optimizer
    """Pretrained optimizer, its file, a run folder, or hf://user/repo."""
    problem: Problem
    """Problem to optimize."""
    steps: int = 100
    """Steps of the trajectory; functions of the gradient are drawn for the first 32."""
    coordinates: int = 2
    """Coordinates to draw, by chance among those that have a gradient."""
    against: Names = "sgd,adam"
    """Hand-designed optimizers, each tuned for this problem and horizon."""
    seeds: int = 32
    """Problems that each rate is judged on."""
    out: File = None
    """Folder for the pictures; runs/visualize/OPTIMIZER if not given."""
    style: Style = "light"
    seed: int = 0
    """Draws the problem and the coordinates."""
    trust: Trust = False
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        require("steps", self.steps, 1)
        require("coordinates", self.coordinates, 1)
        require("seeds", self.seeds, 1)
        require("seed", self.seed, 0, 2**32 - 1)

    @property
    def folder(self) -> Path:
        """Return the folder for the pictures."""
        return self.out or Path("runs") / "visualize" / name_of(self.optimizer)

    def outputs(self) -> list[Path]:
        """Return the picture of histories, and all pictures of functions that may be replaced.

        The coordinates whose functions are drawn are chosen at random.
        """
        from metadescent.figures.output import figure_paths

        before = self.folder.glob("function-*")
        functions = [p for p in before if re.fullmatch(r"function-\d+\.(svg|png)", p.name)]
        return [*figure_paths(self.folder / "histories"), *sorted(functions)]

    def inputs(self) -> list[Path]:
        """Return the files of the optimizer and of the problem."""
        return read_by(self.optimizer, self.problem, data_dir=self.data_dir)

    def run(self) -> None:
        """Tune, trace, draw."""
        import numpy as np

        from metadescent._text import number
        from metadescent.cli.baselines import baselines_of
        from metadescent.cli.console import output, progress, table
        from metadescent.cli.tables import tuning_cache
        from metadescent.descent.baselines import BASELINES
        from metadescent.descent.comparison import problem_keys
        from metadescent.descent.outside import try_rule
        from metadescent.descent.traits import size, time_scale
        from metadescent.descent.tuning_cache import tune_each
        from metadescent.figures.output import save_figure
        from metadescent.figures.pictures import FUNCTION_STEPS, pictures_of
        from metadescent.registry import make_problem
        from metadescent.runs.own import load

        m = load(self.optimizer, trust=self.trust)
        name = name_of(self.optimizer)
        problem = make_problem(self.problem, self.data_dir)
        names = baselines_of(self.against, problem)
        try_rule(m, problem)
        # Rates are tuned on other problems than the one that is drawn.
        tune_key, key = problem_keys(self.seed)
        with progress("visualize", len(names) + 1) as report:
            tuned = tune_each(
                names,
                problem,
                tune_key,
                self.steps,
                self.seeds,
                tuning_cache(),
                lambda text: report(text, 1),
                within=lambda text, part: report(text, part=part),
            )
            drawn = pictures_of(
                {name: m}
                | {rule: BASELINES[rule].at(t.rate, self.steps) for rule, t in tuned.items()},
                problem,
                key,
                num_steps=self.steps,
                count=self.coordinates,
                seed=self.seed,
            )
            report("traced updates", 1)
        rows = [
            [
                rule,
                # A learned optimizer has no rate.
                number(tuned[rule].rate if rule in tuned else None),
                number(size(np.asarray(updates))),
                number(time_scale(np.asarray(updates))),
            ]
            for rule, updates in drawn.seen.updates.items()
        ]
        folder = self.folder
        save_figure(drawn.histories(), folder / "histories", style=self.style)
        paths = {i: folder / f"function-{i}" for i in drawn.coordinates}
        for coordinate, path in paths.items():
            save_figure(drawn.functions(coordinate), path, style=self.style)
        title = f"Updates along one trajectory of {name} on {self.problem}, {self.steps} steps"
        output().print(table(title, ["", "rate", "mean |g|", "time scale (steps)"], rows))
        output().print(f"Histories of updates: {folder / 'histories'}.png")
        for coordinate, path in paths.items():
            output().print(f"Coordinate {coordinate}, {FUNCTION_STEPS} steps at most: {path}.png")
