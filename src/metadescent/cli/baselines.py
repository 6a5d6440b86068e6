"""The hand-designed optimizers that a command compares with: their names, and their tuning."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from metadescent.cli.console import progress
from metadescent.cli.tables import tuning_cache
from metadescent.cli.words import ALL, check_baseline
from metadescent.descent.tuning import baselines_for
from metadescent.problems.base import Problem
from metadescent.runs.cluster.executors import engine_of
from metadescent.runs.cluster.tasks import Tuning, run_tunings
from metadescent.runs.naming import absolute


@contextlib.contextmanager
def quick_to_compile(quick: bool = True) -> Iterator[None]:
    """Let programs compile in a fraction of the time; they then run at a fraction of the speed."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", quick or before)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def baselines_of(text: str, problem: Problem) -> list[str]:
    """Return the hand-designed optimizers that a list names, or all that suit the problem."""
    if text == ALL:
        return baselines_for(problem)
    names = [name for name in text.split(",") if name]
    for name in names:
        check_baseline(name)
    return names


def tune_ahead(
    searches: Sequence[tuple[str, str, int, int]],  # optimizer, problem, steps, seeds
    *,
    seed: int,
    workers: int,
    scheduler: str | None,
    data_dir: Path | None,
) -> None:
    """If there are workers, let them tune what the cache does not have yet."""
    if workers == 1 and scheduler is None:
        return
    # The path is absolute, because a worker may run in another folder.
    data = str(data_dir.resolve()) if data_dir else None
    tasks = [
        Tuning(name, absolute("problem", problem, Path.cwd()), data, seed, steps, seeds)
        for name, problem, steps, seeds in dict.fromkeys(searches)
    ]
    with progress("tune", len(tasks)) as report:
        run_tunings(
            tasks,
            engine_of(workers, scheduler),
            tuning_cache(),
            lambda task: report(f"tuned {task.name} on {task.problem}", 1),
        )
