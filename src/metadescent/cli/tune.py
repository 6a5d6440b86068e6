"""`tune`: the best rate of a hand-designed optimizer, problem by problem."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from metadescent._errors import UserError, require
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, Scheduler, Workers, check_baseline
from metadescent.descent.baselines import BASELINES


@dataclass(frozen=True)
class Tune(Command):
    """Find the learning rate that serves a hand-designed optimizer best."""

    place = 6

    name: Positional[Annotated[str, arg(metavar=f"{{{','.join(BASELINES)}}}")]]
    """Hand-designed optimizer."""
    problems: Positional[Annotated[tuple[str, ...], arg(metavar="PROBLEM …")]]
    """Problems to tune it for, each by itself."""
    steps: int = 100
    """Horizon."""
    seeds: int = 64
    """Problems a rate."""
    seed: int = 0
    """Draws the problems."""
    workers: Workers = 1
    scheduler: Scheduler = None
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        check_baseline(self.name)
        for name in ("steps", "seeds", "workers"):
            require(name, getattr(self, name), 1)
        require("seed", self.seed, 0, 2**32 - 1)

    def run(self) -> None:
        """Search, and print the grid of each search."""
        from metadescent.cli.baselines import tune_ahead
        from metadescent.cli.console import output, progress, table
        from metadescent.cli.tables import tuning_cache
        from metadescent.descent.comparison import problem_keys
        from metadescent.descent.tuning import COLUMNS, FLAT
        from metadescent.descent.tuning_cache import cached_tune
        from metadescent.registry import make_problem

        # To the parser an empty tuple is a given one.
        if not self.problems:
            raise UserError("there is no problem to tune for; name one or more, such as quadratic")
        tune_ahead(
            [(self.name, problem, self.steps, self.seeds) for problem in self.problems],
            seed=self.seed,
            workers=self.workers,
            scheduler=self.scheduler,
            data_dir=self.data_dir,
        )
        key, _ = problem_keys(self.seed)
        for problem_name in self.problems:
            problem = make_problem(problem_name, self.data_dir)
            with progress(f"tune for {problem_name}", 1) as report:
                question = self.name, problem, key, self.steps, self.seeds
                tuned = cached_tune(
                    *question, tuning_cache(), lambda text, part: report(text, part=part)
                )
                report(f"tuned {self.name}", 1)
            title = f"{self.name} on {problem_name}"
            output().print(table(title, COLUMNS, tuned.rows()))
            level = f"; {tuned.span} are within {FLAT:.0%} of its loss" if tuned.span else ""
            output().print(f"Best rate {tuned.rate:.3g} by the {tuned.criterion}{level}.")
