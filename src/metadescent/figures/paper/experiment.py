"""An experiment: what reproduces a figure of the paper. One `reproduce` runs any of them.

A learned optimizer is taken by name from `load`, so an experiment does not know whether it is
pretrained or has just been meta-trained. A claim is measured, never assumed: it may fail.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metadescent._provenance import hardware, versions
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning import Progress, Tuned
from metadescent.figures.paper.budgets import Budget, budget_of
from metadescent.figures.paper.claims import Claim
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.criterion import digest_of
from metadescent.figures.paper.records import DIGITS, Record
from metadescent.optimizers.base import LearnedOptimizer

if TYPE_CHECKING:
    import matplotlib.figure

Load = Callable[[str], LearnedOptimizer]
"""Returns the optimizer of a name such as "mnist-lstm": pretrained, or newly meta-trained."""

Panels = Mapping[str, Comparison]


class Context(NamedTuple):
    """The inputs of an experiment: optimizers by name, the budget, and the data.

    `begun` has the learned optimizers as they begin, by the same names; they are the controls.
    `kept` is the folder of losses that were measured before, if they are kept.
    """

    learned: Mapping[str, LearnedOptimizer]
    begun: Mapping[str, LearnedOptimizer]
    budget: Budget
    data_dir: str | Path | None = None
    seed: int = 0
    cache: Path | None = None
    progress: Progress = lambda _: None
    kept: Path | None = None


class Reproduction(NamedTuple):
    """A figure of the paper, measured anew: its panels, the runs, and the claims judged by them."""

    figure: str
    panels: Panels
    records: Mapping[str, Record]
    claims: list[Claim]
    plot: "Callable[[], matplotlib.figure.Figure]"  # Matplotlib is imported when it is called
    measured: Mapping[str, Any] = {}  # the numbers behind a figure without learning curves
    made: Mapping[str, Any] = {}  # budget, seed, digest of the criteria, minutes, hardware

    def to_json(self) -> dict[str, Any]:
        """Return the content of `metadescent reproduce --json`."""
        panels = self.panels.items()
        return {
            "figure": self.figure,
            "made": dict(self.made),
            "panels": {name: _short(comparison.to_json()) for name, comparison in panels},
            "claims": [claim.to_json() for claim in self.claims],
            "rates": {name: _rates(panel.tuned) for name, panel in panels},
            "runs": {name: record.to_json() for name, record in self.records.items()},
        } | ({"measured": dict(self.measured)} if self.measured else {})


def _short(value: Any) -> Any:
    """Return a value for JSON with six digits of each number."""
    match value:
        case dict():
            return {name: _short(item) for name, item in value.items()}
        case list():
            return [_short(item) for item in value]
        case float():
            return float(f"{value:.{DIGITS}g}")
        case _:
            return value


def _rates(tuned: Mapping[str, Tuned]) -> dict[str, Any]:
    """Return the results of searches for rates; rates between the two of "level" are as good."""
    return {
        name: {"rate": search.rate, "level": list(search.flat), "grid": search.grid}
        | {"final_losses": [x if math.isfinite(x) else None for x in search.final_losses]}
        for name, search in tuned.items()
    }


class Experiment(ABC):
    """Reproduces `figure` with learned `optimizers`; it reports progress `units` times."""

    figure: str
    optimizers: tuple[str, ...]
    units: int

    @abstractmethod
    def run(self, context: Context) -> Reproduction:
        """Measure, and judge the claims about the measurements."""

    def searches(self, budget: Budget, seed: int) -> list[tuple[str, str, int, int]]:
        """Return the searches for rates that can run in parallel: baseline, problem and sizes."""
        return []


def reproduce(
    experiment: Experiment,
    *,
    load: Load,
    begin: Load,
    budget: str = "cpu",
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
    kept: Path | None = None,
) -> Reproduction:
    """Run an experiment, and judge what the paper claims about its figure.

    `load` is asked once for each optimizer, and `begin` for the same rule before meta-training,
    which is a control and not a baseline. `seed` draws the problems, and those that baselines are
    tuned on. If the budget is too small to judge claims, `holds` is None for all of them. `cache`
    is the folder of tuned rates. `progress` is called `experiment.units` times. `kept` is the
    folder of losses, by which a figure that was interrupted goes on.
    """
    effort = budget_of(budget)  # raises an error before anything is loaded
    started = time.monotonic()
    learned = {name: load(name) for name in experiment.optimizers}
    begun = {name: begin(name) for name in experiment.optimizers}
    figure = experiment.run(Context(learned, begun, effort, data_dir, seed, cache, progress, kept))
    before = sum(panel.before for panel in figure.panels.values())
    figure = figure._replace(
        made={
            **question(experiment.figure, budget, seed),
            "minutes": round((time.monotonic() - started) / 60 + before, 2),
            "hardware": hardware(),
            "versions": versions(),
        }
    )
    if effort.judged:
        return figure
    return figure._replace(claims=[claim._replace(holds=None) for claim in figure.claims])


def question(figure: str, budget: str, seed: int) -> dict[str, Any]:
    """Return what identifies a reproduction among others of the same figure."""
    criteria = digest_of(CRITERIA.get(figure, ()))
    return {"budget": budget, "seed": seed, "criteria": criteria}
