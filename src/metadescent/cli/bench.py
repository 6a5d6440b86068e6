"""`bench`: optimizers on held-out tasks, beside Adam's envelope and tuned AdamW."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from metadescent._errors import UserError, require
from metadescent.cli.command import Command
from metadescent.cli.words import (
    DataDir,
    File,
    Names,
    Optimizer,
    Scheduler,
    Style,
    Trust,
    Workers,
    read_by,
)


@dataclass(frozen=True)
class Bench(Command):
    """Score optimizers on many kinds of held-out tasks, beside Adam and AdamW at their best."""

    place = 6

    optimizers: Annotated[Optimizer, arg(metavar="OPTIMIZER,…")]
    """Pretrained optimizers, files or run folders; nag, lion, muon, schedule-free or prodigy."""
    tasks: Names = "all"
    """Names or kinds of tasks."""
    horizons: Annotated[str, arg(metavar="STEPS,…")] = "500,2000"
    """Steps of a run."""
    seeds: int = 3
    """Runs a task."""
    begun: bool = False
    """Score each learned optimizer also as it begins, before meta-training."""
    json: File = None
    """Write scores and curves here; what it has already is not run again."""
    plot: File = None
    """Write the picture of all speed-ups here, as .svg and .png."""
    style: Style = "light"
    seed: int = 0
    """Draws θ₀ and minibatches."""
    workers: Workers = 1
    scheduler: Scheduler = None
    trust: Trust = False
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        for name in ("seeds", "workers"):
            require(name, getattr(self, name), 1)
        require("seed", self.seed, 0, 2**32 - 1)
        if not all(word.isdecimal() for word in self.horizons.split(",")):
            raise UserError(
                f"--horizons is {self.horizons!r} and must be numbers, such as 500,2000"
            )

    def outputs(self) -> list[Path]:
        """Return the files of scores and of the picture, if they are asked for."""
        from metadescent.figures.output import figure_paths

        return [
            *([self.json] if self.json else []),
            *(figure_paths(self.plot) if self.plot else []),
        ]

    def inputs(self) -> list[Path]:
        """Return the files of the optimizers."""
        return read_by(*self.optimizers.split(","), data_dir=self.data_dir)

    def run(self) -> None:
        """Run the pieces that are not kept yet, and print the scores."""
        from metadescent.bench.rivals import RIVALS
        from metadescent.cli.benches import cache, panels_of, print_scores
        from metadescent.cli.console import progress
        from metadescent.descent.beginnings import as_begun
        from metadescent.figures.benches import draw_speed_ups
        from metadescent.figures.output import save_figure
        from metadescent.runs.benching import Benching, check_horizon, rule_of, tasks_named
        from metadescent.runs.benchings import run_benchings
        from metadescent.runs.cluster.executors import engine_of

        horizons = [int(word) for word in self.horizons.split(",")]
        for steps in horizons:
            check_horizon(steps)
        # The path is absolute, because a worker may run in another folder.
        data = str(self.data_dir.resolve()) if self.data_dir else None
        names = [_absolute(name) for name in self.optimizers.split(",") if name]
        if not names:
            raise UserError("no optimizer is named; try mlp-robust-lstm")
        if self.begun:
            names += [as_begun(name) for name in names if name not in RIVALS]
        work = [
            Benching(name, task, steps, self.seeds, self.seed, data, str(cache()), self.trust)
            for steps in horizons
            for task in tasks_named(self.tasks)
            for name in names
        ]
        # Names that are not optimizers are refused before any work is done.
        for first in {piece.optimizer: piece for piece in work}.values():
            rule_of(first)
        engine = engine_of(self.workers, self.scheduler)
        with progress("bench", len(work)) as report:
            results = run_benchings(
                work, engine, self.json, lambda piece: report(f"{piece.task}, {piece.steps}", 1)
            )
        print_scores(results)
        if self.plot:
            save_figure(draw_speed_ups(panels_of(results)), self.plot, style=self.style)


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name
