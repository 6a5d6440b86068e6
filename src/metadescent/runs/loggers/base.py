"""What a logger is, and what the loggers of the room share; packages are imported by them, late."""

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
"""The numbers of an epoch by name, as its line in metrics.jsonl has them."""


class Logger(ABC):
    """What is told of a meta-training, epoch by epoch.

    A session begins when a run is begun or gone on with, and ends with it. `begin` comes first,
    then `log` once for each epoch, and `end` last; after that the next session may begin. What is
    handed over is a logger's own. If a call raises an exception, a warning says so, and the session
    goes on without the logger.

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

        `folder` is the run's, and `config` what its config.json has. `earlier` has the metrics of
        each epoch that is kept, and that is not trained again. Of a run that was killed, a logger
        may know less than these, as an epoch is saved before it is logged. It knows of more only if
        a checkpoint was damaged; the epochs after the last of `earlier` are trained again.
        """

    @abstractmethod
    def log(self, metrics: Metrics) -> None:
        """Log an epoch, which has been saved by now."""

    @abstractmethod
    def end(self, outcome: Outcome) -> None:
        """End the session; a process that is killed does not come to this."""


def cells(metrics: Metrics) -> dict[str, Any]:
    """Return what an epoch's metrics have by tag; a list has a tag for each of its numbers."""
    by_tag: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, list):
            by_tag |= {f"{name}/{k}": number for k, number in enumerate(value, 1)}
        else:
            by_tag[name] = value
    return by_tag


def scalars(metrics: Metrics) -> dict[str, float]:
    """Return the finite numbers of an epoch by tag, all but the epoch's own."""
    # None of the services draws a NaN, and MLflow keeps another number for an infinite one.
    return {
        tag: float(value)
        for tag, value in cells(metrics).items()
        if tag != "epoch" and isinstance(value, int | float) and math.isfinite(value)
    }


def needed(package: str, extra: str) -> Any:
    """Return a package that is among an extra of this one; raise a UserError without it."""
    try:
        return importlib.import_module(package)
    except Exception as error:  # A package that does not suit another raises anything.
        raise UserError(
            f"the logger {extra} needs {package}, which cannot be imported ({error}); try "
            f"pip install 'metadescent[{extra}]', or read metrics.jsonl"
        ) from error
