"""Which of several processes this is: by flags, by the environment, or by who started it; no JAX.

The flags of `train` are `--coordinator`, `--processes` and `--process-id`. In their place stand
JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. In a step of Slurm (srun) and under
Open MPI (mpirun) JAX finds out by itself.
"""

from collections.abc import Mapping
from typing import NamedTuple

from metadescent._errors import UserError, require

STARTERS = {"Slurm": "SLURM_STEP_NUM_TASKS", "Open MPI": "OMPI_COMM_WORLD_SIZE"}
"""Who starts several processes, and the variable that tells each of them how many there are."""


class Seat(NamedTuple):
    """Where process 0 is found, how many processes there are, and which of them this is.

    All three are None where JAX finds out by itself.

    Example:
        >>> seat_of("node1:5000", 2, 1, {}) == Seat("node1:5000", processes=2, process_id=1)
        True
    """

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None


def seat_of(
    coordinator: str | None, processes: int, process_id: int | None, environ: Mapping[str, str]
) -> Seat | None:
    """Return this process's seat among others, None if it has none to train with.

    Arguments:
        coordinator: the flag; HOST:PORT at which process 0 listens.
        processes: the flag; 0 if not given.
        process_id: the flag.
        environ: the environment, which a flag goes before.

    Raises:
        UserError: if a part is missing or makes no sense.

    Example:
        >>> seat_of("node1:5000", 4, 2, {})
        Seat(coordinator='node1:5000', processes=4, process_id=2)
        >>> seat_of(None, 0, None, {"SLURM_STEP_NUM_TASKS": "8"})
        Seat(coordinator=None, processes=None, process_id=None)
        >>> seat_of(None, 4, None, {})
    """
    coordinator = coordinator or environ.get("JAX_COORDINATOR_ADDRESS")
    if coordinator is None:
        if process_id is not None:
            raise UserError(
                f"this is process {process_id} and nothing says where process 0 is; try "
                "--coordinator HOST:PORT"
            )
        return Seat() if processes == 0 and _is_started_with_others(environ) else None
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
