"""What tests of the loggers with packages of their own share: runs that are stopped and resumed."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture(scope="session")
def small_run() -> Callable:
    """Train for so many epochs in a folder, or until the end, with loggers by name."""
    from metadescent.problems.quadratic import Quadratic
    from metadescent.runs import Recipe, make_logger, plan_of, train

    plan = plan_of(
        Recipe(
            optimizer="lstm(layers=(2,), p=None, scale=1.0)",
            steps=4,
            unroll=2,
            problems=2,
            epochs=5,
            episodes=2,
            validation_problems=2,
        )
    )

    def of(folder: Path, names: Sequence[str], epochs: int = 5) -> None:
        loggers: list[Any] = [make_logger(name) for name in names]
        run = train(
            folder,
            Quadratic(dimension=2),
            "quadratic(dimension=2)",
            plan,
            resume=True,
            loggers=loggers,
            warn=pytest.fail,
        )
        with closing(run):
            for state, _ in run:
                if int(state.epoch) == epochs:
                    break

    return of


@pytest.fixture(scope="session")
def logged() -> Callable:
    """Return the finite numbers of metrics.jsonl: those of each epoch by tag."""
    from metadescent.runs.log import read_metrics
    from metadescent.runs.loggers.base import scalars

    def of(folder: Path) -> dict[int, dict[str, float]]:
        return {metrics["epoch"]: scalars(metrics) for metrics in read_metrics(folder)}

    return of
