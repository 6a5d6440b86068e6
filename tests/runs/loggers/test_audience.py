"""Loggers are told in turn, and none of them can stop what it is told of, or change it."""

from pathlib import Path
from typing import Any

import pytest

from metadescent.runs.loggers.audience import Audience
from metadescent.runs.loggers.base import Logger

FOLDER = Path("r")


class Notes(Logger):
    """It notes what it is told, and fails in what it is made to fail in."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.told = failing, []

    def begin(self, folder, config, earlier):
        self._note("begin", folder, config, earlier)

    def log(self, metrics):
        self._note("log", metrics)

    def end(self, outcome):
        self._note("end", outcome)

    def _note(self, call: str, *words: Any) -> None:
        self.told.append((call, *words))
        if call in self.failing:
            raise ConnectionError("no route\nto host")


class Vandal(Notes):
    """It changes what it is handed."""

    def begin(self, folder, config, earlier):
        config["recipe"]["steps"] = 0
        earlier.clear()

    def log(self, metrics):
        metrics["norms"].append(0.0)


def tell(*loggers: Logger) -> list[str]:
    """Tell loggers of a session of two epochs; return the warnings."""
    warnings: list[str] = []
    audience = Audience(loggers, warnings.append)
    with audience.session(FOLDER, {"recipe": {"steps": 4}}, [{"epoch": 1}], lambda: True):
        for epoch in (2, 3):
            audience.log({"epoch": epoch, "norms": [1.0]})
    return warnings


WHOLE = [
    ("begin", FOLDER, {"recipe": {"steps": 4}}, [{"epoch": 1}]),
    ("log", {"epoch": 2, "norms": [1.0]}),
    ("log", {"epoch": 3, "norms": [1.0]}),
    ("end", "finished"),
]


def test_each_is_told_of_the_beginning_of_each_epoch_and_of_the_end() -> None:
    first, second = Notes(), Notes()
    assert tell(first, second) == []
    assert first.told == second.told == WHOLE


@pytest.mark.parametrize(("call", "heard"), [("begin", 1), ("log", 2), ("end", 4)])
def test_one_that_fails_is_left_out_and_a_sentence_says_so_once(call: str, heard: int) -> None:
    failing, others = Notes(call), (Notes(), Notes())
    assert tell(others[0], failing, others[1]) == [
        f"the logger Notes failed in its {call}, and the run goes on without it (ConnectionError: "
        "no route to host)"
    ]
    assert failing.told == WHOLE[:heard]
    assert [other.told for other in others] == [WHOLE, WHOLE]


def test_what_one_does_to_what_it_is_told_nobody_else_sees() -> None:
    after = Notes()
    assert tell(Vandal(), after) == []
    assert after.told == WHOLE


@pytest.mark.parametrize(
    ("ends_by", "is_over", "outcome"),
    [
        (None, True, "finished"),
        (None, False, "stopped"),
        (KeyboardInterrupt, False, "stopped"),
        (GeneratorExit, True, "finished"),
        (ValueError, False, "failed"),
        (ValueError, True, "failed"),
    ],
)
def test_the_outcome_is_how_the_session_ended(
    ends_by: type[BaseException] | None, is_over: bool, outcome: str
) -> None:
    notes = Notes()
    audience = Audience([notes])

    def session() -> None:
        with audience.session(FOLDER, {}, [], lambda: is_over):
            if ends_by:
                raise ends_by

    if ends_by:
        with pytest.raises(ends_by):
            session()
    else:
        session()
    assert notes.told[-1] == ("end", outcome)
