"""Which of several processes this is: by flags, the environment, or the launcher; no JAX.

The flags of `train` are `--coordinator`, `--processes` and `--process-id`. Without them the
variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID are read. In a step of Slurm
(srun) and under Open MPI (mpirun) JAX finds the seat by itself.
"""

from collections.abc import Mapping
from typing import NamedTuple

from metadescent._errors import UserError, require

STARTERS = {"Slurm": "SLURM_STEP_NUM_TASKS", "Open MPI": "OMPI_COMM_WORLD_SIZE"}
"""Launchers, with the variable in which each tells a process how many there are."""


class Seat(NamedTuple):
    """Where process 0 is, how many there are, which this is; all None if JAX finds out itself."""

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None


def seat_of(
    coordinator: str | None, processes: int, process_id: int | None, environ: Mapping[str, str]
) -> Seat | None:
    """Return this process's seat among others; flags take precedence over the environment.

    None if it trains alone. `processes` is 0 if its flag is not given.
    """
    coordinator = coordinator or environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator is None:
        if process_id is not None:
            raise UserError(
                f"this is process {process_id} and nothing says where process 0 is; try "
                "--coordinator HOST:PORT"
            )
        # With --processes alone this process launches others and has no seat.
        return Seat() if processes == 0 and _is_started_with_others(environ) else None
    # The port follows the last colon, as an IPv6 address has several.
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdigit()):
        raise UserError(f"the coordinator is {coordinator!r} and must be HOST:PORT")
    count = processes or _number("JAX_NUM_PROCESSES", environ, "--processes")
    if process_id is None:
        process_id = _number("JAX_PROCESS_ID", environ, "--process-id")
    require("processes", count, 1)
    require("process-id", process_id, 0, count - 1)
    return Seat(coordinator, count, process_id)


def _is_started_with_others(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name, "1") != "1" for name in STARTERS.values())


def _number(name: str, environ: Mapping[str, str], flag: str) -> int:
    text = environ.get(name, "")
    if not text.isdigit():
        raise UserError(
            f"there is a coordinator, and {name} is {text or 'not set'!r}; give a number by {flag}"
        )
    return int(text)
