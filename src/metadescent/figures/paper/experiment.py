"""An experiment: what reproduces a figure of the paper. One `reproduce` runs any of them.

A learned optimizer is taken by name from `load`, so no experiment knows whether it is pretrained or
has just been meta-trained. A claim is measured, never assumed: it may fail.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import Progress
from metadescent.figures.paper.budgets import Budget, budget_of
from metadescent.figures.paper.claims import Claim
from metadescent.optimizers.base import LearnedOptimizer

if TYPE_CHECKING:
    import matplotlib.figure

Load = Callable[[str], LearnedOptimizer]
"""Returns the optimizer of a name, such as "mnist-lstm": pretrained, or meta-trained anew."""

Panels = Mapping[str, Comparison]


class Context(NamedTuple):
    """What an experiment runs with: learned optimizers by name, how much, on which data."""

    learned: Mapping[str, LearnedOptimizer]
    budget: Budget
    data_dir: str | Path | None = None
    seed: int = 0
    cache: Path | None = None
    progress: Progress = lambda _: None


class Reproduction(NamedTuple):
    """A figure of the paper, measured anew: its panels, and the claims judged on them."""

    figure: str
    panels: Panels
    claims: list[Claim]
    plot: "Callable[[], matplotlib.figure.Figure]"  # Matplotlib is imported when it is called
    measured: Mapping[str, Any] = {}  # what is behind a figure of no learning curves

    def to_json(self) -> dict[str, Any]:
        """Return the schema of `metadescent reproduce --json`."""
        return {
            "figure": self.figure,
            "panels": {name: comparison.to_json() for name, comparison in self.panels.items()},
            "claims": [claim._asdict() for claim in self.claims],
        } | ({"measured": dict(self.measured)} if self.measured else {})


class Experiment(ABC):
    """What reproduces `figure` from learned `optimizers`; it reports progress `units` times."""

    figure: str
    optimizers: tuple[str, ...]
    units: int

    @abstractmethod
    def run(self, context: Context) -> Reproduction:
        """Measure, and judge what is claimed of that."""

    def searches(self, budget: Budget, seed: int) -> list[tuple[str, str, int, int]]:
        """Return the searches for rates that `run` can share out: baseline, problem and sizes."""
        return []


def reproduce(
    experiment: Experiment,
    *,
    load: Load,
    budget: str = "cpu",
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Run an experiment, and judge what the paper claims about its figure.

    `load` is asked once for each optimizer. `seed` draws the problems, and those that baselines are
    tuned on. Where the budget is too small to judge claims, none of them holds or fails: `holds` is
    None. `cache` is where tuned rates are kept. `progress` hears of `experiment.units` things.
    """
    effort = budget_of(budget)  # refused before anything is loaded
    learned = {name: load(name) for name in experiment.optimizers}
    made = experiment.run(Context(learned, effort, data_dir, seed, cache, progress))
    if effort.judged:
        return made
    return made._replace(claims=[claim._replace(holds=None) for claim in made.claims])
