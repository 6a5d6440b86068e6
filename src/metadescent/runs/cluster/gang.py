"""Processes that train together: the first leads, the others follow.

The leader alone reads and writes the run's folder, prints and decides. It sends the others what
they need: which run to begin, and φ and the rest of the state before each epoch. Then all of them
compute that epoch, each on its part of the problems. So the processes stay in step, whatever the
leader does in between. They also agree to the last bit at the beginning of each epoch, even if
their processors round differently.
"""

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from metadescent._errors import LostError, UserError
from metadescent.meta.devices import Spread, everywhere, mesh_of
from metadescent.meta.epoch import footprint, run_epoch
from metadescent.meta.state import MetaState
from metadescent.registry import make_problem
from metadescent.runs.cluster.seats import Seat
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe
from metadescent.runs.signals import Stopped

BEGIN, EPOCH, END = b"B", b"E", b"X"  # the first byte of the leader's messages
SECONDS_TO_PART = 10
# JAX, gloo and NCCL have no exception for a lost process, only messages with these words.
LOST = ("gloo", "coordination", "heartbeat", "connection", "socket", "unavailable", "nccl", "peer")


@contextmanager
def seated(seat: Seat | None) -> Iterator[None]:
    """Take a seat among other processes, which train together until the context ends.

    Raises a LostError if another process ends early, a UserError if the others cannot be reached.
    """
    if seat is None:
        yield
        return
    _initialize(seat)
    try:
        with _quiet():
            # gloo prints on the standard output that it connects.
            jax.block_until_ready(agreed(b""))
        yield
        _part()
    except (UserError, Stopped) as error:
        if is_leader():
            _part()  # the others wait for a message
        else:
            atexit.register(_leave, error.status)
        raise
    except BaseException as error:
        first = str(error).strip().partition("\n")[0]
        # A ValueError may come up when the result of a failed computation is read.
        met = isinstance(error, jax.errors.JaxRuntimeError | ValueError)
        if met and any(word in first.lower() for word in LOST):
            atexit.register(_leave, LostError.status)
            raise LostError(
                f"another process was lost ({first[:200]}); start all of them again with --resume"
            ) from error
        interrupted = 130 if isinstance(error, KeyboardInterrupt) else 1
        atexit.register(_leave, getattr(error, "status", interrupted))
        raise


def _part() -> None:
    """Leave the others, and tell those that follow: after a signal there is no time at exit."""
    if is_leader():
        agreed(END)
    jax.distributed.shutdown()


def _leave(status: int) -> None:
    """End this process without a message to the others, who are gone or will notice."""
    # At exit JAX would wait in vain for each of the others, and abort.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def is_leader() -> bool:
    """Tell whether this process leads; a process alone does."""
    return jax.process_index() == 0


def lead(problem_name: str, recipe: Recipe) -> Spread | None:
    """Tell the others of a run; return where to spread its problems, None for one device."""
    if jax.process_count() == 1:
        # A process alone uses as many of its devices as share the problems evenly.
        devices = usable(recipe, jax.device_count())
        return Spread(mesh_of(jax.devices()[:devices])) if devices > 1 else None
    check_devices(recipe, jax.device_count())
    agreed(BEGIN + json.dumps({"problem": problem_name, "recipe": asdict(recipe)}).encode())
    return Spread(mesh_of(), lambda state: _send(EPOCH, state))


def follow(data_dir: Path | None) -> None:
    """Do what the leader says, until it says that the work is over."""
    compute: Callable[[bytes], None] | None = None
    while (message := agreed(b""))[:1] != END:
        if message[:1] == BEGIN:
            compute = _begun(data_dir=data_dir, **json.loads(message[1:]))
        elif compute is not None:
            compute(message[1:])


def _begun(problem: str, recipe: dict[str, Any], data_dir: Path | None) -> Callable[[bytes], None]:
    """Prepare for a run; return what computes an epoch of it from the leader's state."""
    spread = Spread(mesh_of())
    # φ comes from the leader; the plan's own φ only has the right shapes.
    recipe["init"] = ""
    plan = plan_of(Recipe(**recipe))
    like, f = plan.initial_state, everywhere(make_problem(problem, data_dir), spread.mesh)
    parts = f.hold_out(plan.recipe.held_out)
    # This process compiles while the leader compiles too.
    footprint(like, f, plan.recipe, plan.estimator, plan.meta_optimizer, spread)

    def compute(data: bytes) -> None:
        run_epoch(
            _received(data, like),
            parts,
            plan.recipe,
            plan.estimator,
            plan.meta_optimizer,
            plan.key,
            plan.weights,
            spread.mesh,
        )

    return compute


def usable(recipe: Recipe, devices: int) -> int:
    """Return the largest number of devices that share a recipe's problems evenly."""
    sizes = (recipe.problems, recipe.validation_problems)
    return max(n for n in range(1, devices + 1) if all(size % n == 0 for size in sizes))


def check_devices(recipe: Recipe, devices: int) -> None:
    """Raise a UserError if devices cannot share a recipe's problems evenly."""
    for name in ("problems", "validation_problems"):
        size = getattr(recipe, name)
        if size % devices:
            flag = name.replace("_", "-")
            raise UserError(
                f"{flag} is {size}, which {devices} devices cannot share evenly; try --{flag} "
                f"{devices * -(-size // devices)}, or {usable(recipe, devices)} in place of "
                f"{devices}"
            )


def agreed(data: bytes) -> bytes:
    """Return the leader's bytes on every process; all processes have to call this together."""
    if jax.process_count() == 1:
        return data
    size = int(multihost_utils.broadcast_one_to_all(np.asarray(len(data))))
    # Lengths are powers of two, so that few programs are compiled.
    padded = np.zeros(1 << max(size - 1, 1).bit_length(), np.uint8)
    if is_leader():
        padded[:size] = np.frombuffer(data, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(padded)).tobytes()[:size]


def _send(kind: bytes, state: MetaState) -> None:
    """Send the arrays of a state, one after the other, without names and shapes."""
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    agreed(kind + b"".join(np.asarray(leaf).tobytes() for leaf in leaves))


def _received(data: bytes, like: MetaState) -> MetaState:
    """Return the state that was sent; its shapes are those of `like`."""
    arrays, static = eqx.partition(like, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)
    received, offset = [], 0
    for leaf in leaves:
        flat = np.frombuffer(data, leaf.dtype, leaf.size, offset)
        received.append(jnp.asarray(flat.reshape(leaf.shape)))
        offset += leaf.nbytes
    return eqx.combine(treedef.unflatten(received), static)


def _initialize(seat: Seat) -> None:
    """Let JAX connect this process with the others."""
    host = (seat.coordinator or "").rpartition(":")[0]
    # If all processes are on this machine, no other host may connect.
    bind = seat.coordinator if host in ("127.0.0.1", "localhost") else None
    # With this service JAX would catch SIGTERM, and the process would not end.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            seat.coordinator,
            seat.processes,
            seat.process_id,
            coordinator_bind_address=bind,
            shutdown_timeout_seconds=SECONDS_TO_PART,
        )
    except (RuntimeError, ValueError) as error:
        where = f" at {seat.coordinator}" if seat.coordinator else ""
        first = str(error).strip().splitlines()[0]
        raise LostError(
            f"process 0{where} was not found ({first[:200]}); check --coordinator, that every "
            "process was started, and that host names are not those of the loopback"
        ) from error
    if bind and jax.default_backend() != "cpu":
        raise UserError(
            f"--processes is {seat.processes}, and one process takes all devices of this machine; "
            "leave it out"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard what libraries print on the standard output."""
    sys.stdout.flush()
    # The descriptor itself is replaced, as output from C++ does not pass through `sys.stdout`.
    kept = os.dup(1)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
