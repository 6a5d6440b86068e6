"""A task that optimizers are judged on, its three sides, and all tasks by name; no JAX.

Every file of `bench/tasks` may define `NAMED`, {name: task}. It imports JAX only where a task is
made, so that the names are listed at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from metadescent._names import discovered

if TYPE_CHECKING:
    from metadescent.problems.base import Problem


class Split(NamedTuple):
    """One f, three times: what is descended, and what is measured on the way.

    θ has one structure in all three, and f of one key is the same f.
    """

    # f(θ) on a minibatch, with dropout and noise: the key of the step draws all that is random.
    train: "Problem"
    # f(θ) on many of the training examples at once; the key of the step says nothing.
    measured: "Problem"
    # f(θ) on examples that are not trained on; the key of the step says nothing.
    held_out: "Problem"


class Task(NamedTuple):
    """A task that the bench knows by name."""

    # What sort of network and data: "vision", "language", … .
    kind: str
    summary: str
    # make(data_dir) reads data where it must; None is the usual place.
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
