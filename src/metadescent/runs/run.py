"""The folder of a run as a value to look at."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metadescent import _show
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.runs.checkup import Checkup, best_of, read_checkup
from metadescent.runs.doctor import diagnose
from metadescent.runs.finding import Findings


@dataclass(frozen=True)
class Run:
    """A meta-training run, read from its folder; a notebook shows it as a table and a picture.

    Arguments:
        folder: of a run, whether or not it is finished. It is read once, when first looked at.

    Raises:
        UserError: when it is looked at, if the folder holds no run.

    Example:
        >>> import tempfile
        >>> from metadescent.problems import Quadratic
        >>> from metadescent.runs import Recipe, plan_of, train
        >>> plan = plan_of(Recipe(optimizer="lstm(layers=(2,))", steps=4, unroll=2, epochs=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     epochs = list(train(Path(folder), Quadratic(), "quadratic", plan))
        ...     [line["epoch"] for line in Run(folder).metrics]
        [1, 2]
    """

    folder: str | Path

    @cached_property
    def checkup(self) -> Checkup:
        """Return the run's recipe and log."""
        return read_checkup(Path(self.folder))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Return the logged numbers, epoch by epoch."""
        return self.checkup.metrics

    def best(self) -> LearnedOptimizer:
        """Return the run's best optimizer so far."""
        return best_of(Path(self.folder), self.checkup.recipe)

    def findings(self) -> Findings:
        """Return the verdicts that follow from the log; `metadescent doctor` measures more."""
        return diagnose(self.checkup)

    def plot(self) -> Any:
        """Return a figure of the losses and of the meta-gradient's norm, epoch by epoch."""
        return _show.plot(self)

    def _repr_html_(self) -> str:
        return _show.html(self)
