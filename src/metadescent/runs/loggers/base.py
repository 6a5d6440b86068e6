"""What a logger is, and what the loggers of this room share; each imports its package late."""

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from metadescent._errors import UserError

Outcome = Literal["finished", "stopped", "failed"]
"""How a session ended: with all epochs done, before that, or by an error."""


Metrics = Mapping[str, Any]
"""The numbers of an epoch by name, as in its line of metrics.jsonl."""


class Logger(ABC):
    """An object that is told of a meta-training, epoch by epoch.

    A session begins when a run begins or goes on, and ends with it. `begin` comes first, then `log`
    once for each epoch, and `end` last; after that the next session may begin. A logger may change
    what it is given. If a call raises an exception, a warning says so, and the session goes on
    without the logger.

    Example:
        >>> import tempfile
        >>> from metadescent.problems import Quadratic
        >>> from metadescent.runs import Recipe, plan_of, train
        >>> class Printer(Logger):
        ...     def begin(self, folder, config, earlier):
        ...         print(config["problem"], len(earlier))
        ...     def log(self, metrics):
        ...         print("epoch", metrics["epoch"])
        ...     def end(self, outcome):
        ...         print(outcome)
        >>> plan = plan_of(Recipe(optimizer="lstm(layers=(2,))", steps=4, unroll=2, epochs=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(Path(folder), Quadratic(), "quadratic", plan, loggers=[Printer()])
        ...     _ = list(run)
        quadratic 0
        epoch 1
        epoch 2
        finished
    """

    @abstractmethod
    def begin(self, folder: Path, config: Mapping[str, Any], earlier: Sequence[Metrics]) -> None:
        """Begin a session.

        `folder` is the run's, and `config` is what its config.json has. `earlier` has the metrics
        of each epoch that is kept and is not trained again. If the run was killed, a logger may
        have fewer epochs, as an epoch is saved before it is logged. It has more only if a
        checkpoint was damaged; then the epochs after the last of `earlier` are trained again.
        """

    @abstractmethod
    def log(self, metrics: Metrics) -> None:
        """Log an epoch, which has already been saved."""

    @abstractmethod
    def end(self, outcome: Outcome) -> None:
        """End the session; this is not called if the process is killed."""


def cells(metrics: Metrics) -> dict[str, Any]:
    """Return an epoch's metrics by tag; a list has a tag for each of its numbers."""
    by_tag: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, list):
            by_tag |= {f"{name}/{k}": number for k, number in enumerate(value, 1)}
        else:
            by_tag[name] = value
    return by_tag


def scalars(metrics: Metrics) -> dict[str, float]:
    """Return the finite numbers of an epoch by tag, without the epoch's own number."""
    # No service draws a NaN, and MLflow stores an infinite number as another one.
    return {
        tag: float(value)
        for tag, value in cells(metrics).items()
        if tag != "epoch" and isinstance(value, int | float) and math.isfinite(value)
    }


def needed(package: str, extra: str) -> Any:
    """Return a package of one of the extras; raise a UserError if it is not installed."""
    try:
        return importlib.import_module(package)
    except Exception as error:  # an import may raise anything, if two packages do not fit
        raise UserError(
            f"the logger {extra} needs {package}, which cannot be imported ({error}); try "
            f"pip install 'metadescent[{extra}]', or read metrics.jsonl"
        ) from error
