"""A task that optimizers are judged on, its three sides, and all tasks by name; no JAX.

Every file of `bench/tasks` may define `NAMED`, {name: task}. JAX is only imported when a task is
made, so that names can be listed at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from metadescent._names import discovered

if TYPE_CHECKING:
    from metadescent.problems.base import Problem


class Split(NamedTuple):
    """One f in three versions: to descend, and to measure in two ways.

    θ has the same structure in all three, and the same key gives the same f.
    """

    # f(θ) on a minibatch, with dropout and noise: the key of the step draws all that is random.
    train: "Problem"
    # f(θ) on many of the training examples at once; it does not depend on the step's key.
    measured: "Problem"
    # f(θ) on examples that are not trained on; it does not depend on the step's key.
    held_out: "Problem"


class Task(NamedTuple):
    """A task that the bench knows by name."""

    # The sort of network and data: "vision", "language", ….
    kind: str
    summary: str
    # make(data_dir) reads the data if there are any; None is the usual place.
    make: Callable[[Path | None], Split]


def every_task() -> dict[str, Task]:
    """Return every task by name, found by discovery; nothing is read, and JAX is not imported.

    Example:
        >>> tasks = every_task()
        >>> tasks["noisy-quadratic"].kind
        'synthetic'
        >>> split = tasks["noisy-quadratic"].make(None)
        >>> split.train.batch_size, split.held_out.batch_size
        (8, None)
    """
    return discovered("metadescent.bench.tasks")
