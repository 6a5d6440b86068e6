"""Which of several processes this is: flags, then the environment, then whoever started it."""

from collections.abc import Callable

import pytest

from metadescent.runs.cluster.seats import Seat, seat_of

ALL = {
    "JAX_COORDINATOR_ADDRESS": "a:1",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "3",
}


def test_a_process_by_itself_has_no_seat() -> None:
    assert seat_of(None, 0, None, {}) is None
    # Those that it is to start have.
    assert seat_of(None, 8, None, {}) is None


def test_flags_go_before_the_environment() -> None:
    assert seat_of(None, 0, None, ALL) == Seat("a:1", 4, 3)
    assert seat_of("b:2", 5, 0, ALL) == Seat("b:2", 5, 0)


@pytest.mark.parametrize("environ", [{"SLURM_STEP_NUM_TASKS": "2"}, {"OMPI_COMM_WORLD_SIZE": "16"}])
def test_in_a_step_of_several_tasks_jax_finds_out(environ: dict[str, str]) -> None:
    assert seat_of(None, 0, None, environ) == Seat()


def test_a_step_of_one_task_is_alone() -> None:
    assert seat_of(None, 0, None, {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}) is None


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        (
            (None, 0, 1),
            {},
            "this is process 1 and nothing says where process 0 is; try --coordinator HOST:PORT",
        ),
        (("node1", 2, 0), {}, "the coordinator is 'node1' and must be HOST:PORT"),
        (
            ("node1:1", 0, 0),
            {},
            "there is a coordinator, and JAX_NUM_PROCESSES is 'not set'; give a number by "
            "--processes",
        ),
        (
            ("node1:1", 2, None),
            {"JAX_PROCESS_ID": "one"},
            "there is a coordinator, and JAX_PROCESS_ID is 'one'; give a number by --process-id",
        ),
        (("node1:1", 2, 2), {}, "process-id is 2 and must be from 0 to 1"),
    ],
)
def test_a_part_that_is_missing_or_wrong_is_named(
    flags: tuple, environ: dict[str, str], said: str, sentence: Callable
) -> None:
    assert sentence(seat_of, *flags, environ) == said
