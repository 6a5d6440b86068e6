"""Loggers by name, of the package and of a file of one's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent.runs.loggers.csv import CSV
from metadescent.runs.loggers.names import make_logger, make_loggers, names_in

MINE = """
from metadescent.runs import Logger
class Mine(Logger):
    def __init__(self, each=1):
        self.each = each
    def begin(self, folder, config, earlier): pass
    def log(self, metrics): pass
    def end(self, outcome): pass
ready = Mine(7)
def made(each): return Mine(each)
def three(): return 3
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("csv", ["csv"]),
        ("csv, tensorboard,,csv", ["csv", "tensorboard"]),
        ("a(b='c,d'),e.py:F(g=2,h=(1,2)) , i", ["a(b='c,d')", "e.py:F(g=2,h=(1,2))", "i"]),
    ],
)
def test_commas_stand_between_names_outside_of_brackets(text: str, names: list[str]) -> None:
    assert names_in(text) == names


def test_names_of_the_package() -> None:
    (logger,) = make_loggers("csv")
    assert type(logger) is CSV


@pytest.mark.parametrize(
    ("name", "each"), [("Mine", 1), ("Mine(each=2)", 2), ("ready", 7), ("made(each=3)", 3)]
)
def test_a_class_an_instance_or_a_function_of_a_file(mine: None, name: str, each: int) -> None:
    assert make_logger(f"mine.py:{name}").each == each


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cvs", "there is no logger named 'cvs'; did you mean 'csv'?"),
        ("csv(x=1)", "csv has no option 'x'; none is known"),
        ("csv + tensorboard", "there is no logger named 'csv + tensorboard'; "),
        ("mine.py:Yours", "mine.py has no Logger named 'Yours'; "),
        (
            "mine.py:three",
            "mine.py:three returns int and must return a Logger; try a class that extends "
            "metadescent.runs.Logger",
        ),
    ],
)
def test_what_has_no_such_name_is_said(
    mine: None, name: str, said: str, sentence: Callable
) -> None:
    assert sentence(make_logger, name).startswith(said)
