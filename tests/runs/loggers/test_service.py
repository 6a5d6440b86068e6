"""A service goes on with its run, and has each epoch once."""

from pathlib import Path
from typing import Any

import pytest

from metadescent.runs.loggers.service import Service, run_id_of

CONFIG = {"problem": "quadratic", "recipe": {"steps": 4}, "origin": None}
LINES = [{"epoch": epoch, "a": float(epoch)} for epoch in range(1, 6)]


class Server(Service):
    """It keeps the epochs of each run in memory, in the order in which they come."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Any]] = {}
        self.opened: list[Any] = []

    def open(self, folder, choices, number):
        self.opened.append((folder, choices))
        self.run = number
        return len(self.runs.setdefault(number, []))

    def discard(self):
        del self.runs[self.run]

    def log(self, metrics):
        self.runs[self.run].append(metrics)

    def end(self, outcome):
        del outcome


def session(server: Server, folder: Path, earlier: int, until: int) -> None:
    server.begin(folder, CONFIG, LINES[:earlier])
    for line in LINES[earlier:until]:
        server.log(line)


@pytest.mark.parametrize("logged", [2, 3])
@pytest.mark.parametrize("saved", [2, 3, 4])
def test_whatever_was_logged_of_a_killed_run_each_epoch_is_there_once(
    logged: int, saved: int, tmp_path: Path
) -> None:
    server = Server()
    session(server, tmp_path, 0, logged)
    number = run_id_of(tmp_path)
    session(server, tmp_path, saved, 5)
    assert list(server.runs.values()) == [LINES]
    # Another run took its place only where an epoch of it was trained again.
    assert (number in server.runs) == (logged <= saved)
    assert run_id_of(tmp_path) in server.runs


def test_a_run_that_was_begun_without_it_is_logged_from_its_first_epoch(tmp_path: Path) -> None:
    server = Server()
    session(server, tmp_path, 4, 5)
    assert list(server.runs.values()) == [LINES]


def test_it_is_told_where_and_what_the_run_is(tmp_path: Path) -> None:
    server = Server()
    session(server, tmp_path, 0, 0)
    assert server.opened == [(tmp_path.resolve(), {"problem": "quadratic", "steps": 4})]


def test_folders_have_numbers_of_their_own(tmp_path: Path) -> None:
    numbers = [run_id_of(tmp_path / name) for name in ("a", "b", "a")]
    assert numbers[0] == numbers[2] != numbers[1]
    assert run_id_of(tmp_path / "a", anew=True) != numbers[0]
