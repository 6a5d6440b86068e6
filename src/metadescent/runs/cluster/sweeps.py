"""Independent tasks, each run once on any worker, and again only if its worker was lost.

A task is a function of plain data, and so is its result. Neither the worker nor other tasks make a
difference to it. The process that asked for a task keeps the result as soon as it is finished.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from typing import Any, TypeVar

from metadescent._errors import LostError
from metadescent.runs.cluster.executors import Engine

Task = TypeVar("Task")

PATIENCE = 3
"""How many executors may be lost in a row without a finished task."""


def sweep(
    function: Callable[[Task], Any],
    tasks: Sequence[Task],
    engine: Engine,
    *,
    kept: Callable[[Task], Any] = lambda task: None,
    keep: Callable[[Task, Any], None] = lambda task, result: None,
    report: Callable[[Task, Any], None] = lambda task, result: None,
) -> list[Any]:
    """Return the result of every task, in the order of the tasks.

    Arguments:
        function: what to do with a task; it is found by its name in another process, so it is
            defined in a module, and it returns what JSON can hold.
        tasks: plain data.
        engine: what runs them, as from `engine_of`.
        kept: returns the result of a task that was finished before, None if it was not.
        keep: is called, here, with each task and its result as soon as it is finished.
        report: is called with each task and its result, those that were kept among them.

    Raises:
        LostError: if workers were lost again and again, and nothing was finished in between.
        Exception: what the function raises; what was finished by then is kept.

    Example:
        >>> from metadescent.runs.cluster import engine_of
        >>> sweep(abs, [-2, 1], engine_of())
        [2, 1]
    """
    results: dict[int, Any] = {}

    def note(index: int, result: Any) -> None:
        results[index] = result
        report(tasks[index], result)

    def finish(index: int, result: Any) -> None:
        # The result is kept first, because `report` may fail.
        keep(tasks[index], result)
        note(index, result)

    for index, task in enumerate(tasks):
        result = kept(task)
        if result is not None:
            note(index, result)
    lost = 0
    while len(results) < len(tasks):
        before = len(results)
        waiting = [index for index in range(len(tasks)) if index not in results]
        try:
            _once(function, tasks, engine, waiting, finish)
        except (BrokenExecutor, CancelledError) as error:
            # If a task was finished, the count is 1 again: the tasks do not kill the workers.
            lost = lost + 1 if len(results) == before else 1
            if lost >= PATIENCE:
                raise LostError(
                    f"{len(tasks) - len(results)} of {len(tasks)} tasks are not done, as workers "
                    f"were lost {lost} times ({error}); what is done is kept: try fewer workers, "
                    "or ones with more memory"
                ) from error
    return [results[index] for index in range(len(tasks))]


def _once(
    function: Callable[[Task], Any],
    tasks: Sequence[Task],
    engine: Engine,
    waiting: list[int],
    finish: Callable[[int, Any], None],
) -> None:
    """Run tasks on one executor, until all are done or it is lost."""
    with engine.open() as executor:
        running: dict[Future[Any], int] = {}
        while waiting or running:
            while waiting and (engine.width is None or len(running) < engine.width):
                index = waiting.pop(0)
                running[executor.submit(function, tasks[index])] = index
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # Everything that is finished is kept before a failure ends this.
            for future in sorted(done, key=_failed):
                finish(running.pop(future), future.result())


def _failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None
