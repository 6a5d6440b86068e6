"""What runs independent tasks: this process, several processes of this machine, or Dask.

Each is a `concurrent.futures.Executor`. It is opened again if its workers were lost.
"""

import importlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing import connection
from typing import Any, NamedTuple

import jax

from metadescent._errors import LostError, UserError
from metadescent._kernels import SAID
from metadescent.runs.cluster.cores import keep_to, own_cores, share_of


class Engine(NamedTuple):
    """How to open an executor, and how many tasks to give it at a time; None stands for all.

    Any `concurrent.futures.Executor` will do.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from metadescent.runs.cluster import sweep
        >>> sweep(abs, [-2, 1], Engine(partial(ThreadPoolExecutor, 2)))
        [2, 1]
    """

    open: Callable[[], AbstractContextManager[Executor]]
    width: int | None = None


def engine_of(workers: int = 1, scheduler: str | None = None) -> Engine:
    """Return what runs tasks.

    Arguments:
        workers: processes of this machine, each with its share of the cores; this one alone if 1.
        scheduler: the address of Dask's, if a cluster is to run them.

    Example:
        >>> with engine_of().open() as executor:
        ...     executor.submit(max, 1, 2).result()
        2
    """
    if scheduler is not None:
        return Engine(partial(_cluster, scheduler))
    if workers > 1:
        # Each worker has one more task waiting, so that it can go on at once.
        return Engine(partial(_processes, workers), 2 * workers)
    return Engine(InProcess, 1)


class InProcess(Executor):
    """Runs each task when it is submitted, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a task and return its outcome."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Open a pool of processes of this machine."""
    # Processes are not forked, because JAX has threads.
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=_begin,
        initargs=(
            context.Value("i", 0),
            workers,
            own_cores(),
            getattr(jax.config, "jax_compilation_cache_dir", None),
        ),
    )
    try:
        yield pool
    except BaseException:
        # After an error nobody waits for the other tasks to end.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        raise
    pool.shutdown()


def _begin(begun: Any, workers: int, all_cores: list[int], compiled: str | None) -> None:
    """Take a share of the cores, before JAX counts them, and end when the parent does."""
    # Workers number themselves, because the pool decides when it starts each.
    with begun.get_lock():
        index, begun.value = begun.value % workers, begun.value + 1
    keep_to(share_of(all_cores, workers, index))
    if index:  # the first worker prints the warning
        os.environ[SAID] = "1"
    if compiled is not None:
        keep_compiled(compiled)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def keep_compiled(folder: str) -> None:
    """Let JAX keep programs that took half a second or more to compile in a folder."""
    jax.config.update("jax_compilation_cache_dir", folder)
    # Compiling a smaller program takes no longer than reading it.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _end_with(sentinel: int) -> None:
    """End this process when the process of a sentinel has ended."""
    connection.wait([sentinel])
    os._exit(LostError.status)


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    """Open the executor of a Dask scheduler."""
    try:
        dask = importlib.import_module("distributed")
    except ImportError as error:
        raise UserError(
            f"the scheduler at {address} is Dask's, which is not installed; try "
            "pip install 'metadescent[dask]'"
        ) from error
    try:
        client = dask.Client(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise UserError(
            f"no scheduler of Dask answers at {address} ({error}); try the address that "
            "`dask scheduler` prints, such as tcp://10.0.0.1:8786"
        ) from error
    with client:
        try:
            # Not pure: otherwise Dask would take two tasks with the same arguments for one.
            yield client.get_executor(pure=False)
        except dask.KilledWorker as error:
            raise BrokenExecutor(str(error)) from error
