"""`evaluate`: an optimizer against hand-designed ones, each at its best rate."""

from dataclasses import dataclass
from pathlib import Path

from metadescent._errors import require
from metadescent.cli.command import Command
from metadescent.cli.words import (
    ALL,
    DataDir,
    File,
    Names,
    Optimizer,
    Problem,
    Scheduler,
    Style,
    Trust,
    Workers,
    name_of,
    read_by,
)


@dataclass(frozen=True)
class Evaluate(Command):
    """Compare an optimizer with tuned hand-designed ones on fresh problems."""

    place = 5

    optimizer: Optimizer
    """Pretrained optimizer, its file, a run folder, or hf://user/repo."""
    problem: Problem
    """Problem to optimize."""
    steps: int = 100
    """Optimization steps."""
    seeds: int = 64
    """Fresh problems."""
    tune_seeds: int = 0
    """Problems that each rate is tuned on; 0: as many as `seeds`, and at least 32."""
    against: Names = ALL
    """Tuned optimizers; all: the paper's, adamw, and lbfgs where f draws no minibatch."""
    json: File = None
    """Write the curves here."""
    plot: File = None
    """Write the learning curves here, as .svg and .png."""
    style: Style = "light"
    seed: int = 0
    """Draws the problems."""
    workers: Workers = 1
    scheduler: Scheduler = None
    trust: Trust = False
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        for name in ("steps", "seeds", "workers"):
            require(name, getattr(self, name), 1)
        require("tune_seeds", self.tune_seeds, 0)
        require("seed", self.seed, 0, 2**32 - 1)

    def outputs(self) -> list[Path]:
        """Return the files of the curves, if they are asked for."""
        from metadescent.figures.output import figure_paths

        return [
            *([self.json] if self.json else []),
            *(figure_paths(self.plot) if self.plot else []),
        ]

    def inputs(self) -> list[Path]:
        """Return the files of the optimizer and of the problem."""
        return read_by(self.optimizer, self.problem, data_dir=self.data_dir)

    def run(self) -> None:
        """Tune, compare, print."""
        from metadescent._files import write_json
        from metadescent.cli.baselines import baselines_of, tune_ahead
        from metadescent.cli.console import output, progress
        from metadescent.cli.tables import print_comparison, save_curves, tuning_cache
        from metadescent.descent.comparison import compare, problem_keys
        from metadescent.descent.outside import LOOKED_AT, check_start, try_rule
        from metadescent.registry import make_problem
        from metadescent.runs.outcome import outcome_of, training_of
        from metadescent.runs.own import load
        from metadescent.zoo.catalogue import pinned

        # The name is pinned, so that the file and its card are from one commit.
        optimizer = pinned(self.optimizer)
        m = load(optimizer, trust=self.trust)
        problem = make_problem(self.problem, self.data_dir)
        names = baselines_of(self.against, problem)
        try_rule(m, problem)
        check_start(problem, problem_keys(self.seed)[1], min(LOOKED_AT, self.seeds))
        tune_seeds = self.tune_seeds or max(self.seeds, 32)
        # `compare` finds in the cache what workers have tuned.
        tune_ahead(
            [(name, self.problem, self.steps, tune_seeds) for name in names],
            seed=self.seed,
            workers=self.workers,
            scheduler=self.scheduler,
            data_dir=self.data_dir,
        )
        with progress("evaluate", 2 * len(names) + 1) as report:
            comparison = compare(
                {name_of(self.optimizer): m},
                problem,
                self.problem,
                baselines=names,
                num_steps=self.steps,
                num_seeds=self.seeds,
                tune_seeds=tune_seeds,
                seed=self.seed,
                cache=tuning_cache(),
                progress=lambda text: report(text, 1),
                within=lambda text, part: report(text, part=part),
                timed=True,
            )
        if self.json:
            write_json(self.json, comparison.to_json())
        if self.plot:
            save_curves(comparison, self.plot, self.style)
        print_comparison(comparison)
        name = name_of(self.optimizer)
        output().print(outcome_of(comparison, name, training_of(optimizer, self.problem, name)))
