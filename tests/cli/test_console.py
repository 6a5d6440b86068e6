"""Progress that a person can follow and a log can hold."""

import io
import re
import sys

import pytest
from rich.console import Console

from metadescent.cli import console
from metadescent.cli.console import SECONDS_BETWEEN_LINES, progress, table


class Clock:
    """Stands in for the time module."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stand_in = Clock()
    monkeypatch.setattr(console, "time", stand_in)
    return stand_in


def test_not_on_a_terminal_progress_is_plain_lines_on_the_error_stream(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("train", 4) as report:
        for epoch in range(4):
            clock.now += 10.0
            report(f"loss {epoch}", 1)
    out, said = capsys.readouterr()
    assert out == ""
    assert said.splitlines() == [
        "train 1/4: loss 0",
        "train 2/4, 20 s left: loss 1",
        "train 3/4, 10 s left: loss 2",
        "train 4/4, 0 s left: loss 3",
    ]


def test_lines_are_few_but_the_first_and_the_last_are_there(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("train", 1000) as report:
        for _ in range(1000):
            clock.now += 0.01
            report("", 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("train 1/1000")
    assert lines[-1].startswith("train 1000/1000")
    assert len(lines) <= 2 + 10 / SECONDS_BETWEEN_LINES


def test_the_time_left_counts_only_what_is_done_now_and_no_compilation(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    # Resumed at 50 of 100: the first was compiled for 60 s, the next took 6 s, as 48 more do.
    with progress("train", 100, done=50) as report:
        report("compiling")
        for seconds in (60.0, 6.0):
            clock.now += seconds
            report("", 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["train 50/100: compiling", "train 51/100: ", "train 52/100, 288 s left: "]


def test_before_anything_is_done_no_time_is_guessed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("train", 3) as report:
        report("compiling")
    assert capsys.readouterr().err == "train 0/3: compiling\n"


def test_on_a_terminal_progress_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("train", 4, done=1) as report:
        report("loss 0.5", 1)
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "train" in shown
    assert "2/4" in shown
    assert "loss 0.5" in shown


def test_a_table_has_its_title_its_columns_and_its_rows() -> None:
    out = io.StringIO()
    rows = [["sgd", "0.1"], ["nag", "12"]]
    Console(file=out, width=60).print(table("Rates", ["name", "rate"], rows))
    text = [line.split() for line in out.getvalue().splitlines()]
    assert all(words in text for words in (["Rates"], ["name", "rate"], *rows))


def test_results_are_whole_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "word " * 100
    console.output().print(long)
    assert capsys.readouterr().out == long + "\n"


COLUMNS = ["", "rate", "final loss", "95 %"]
ROWS = [["an-optimizer-of-a-long-name", "0.1", "12.5", "[11, 14]"], ["sgd", "–", "9", "[8, 10]"]]


def shown(columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", columns)
    console.output().print(table("results of runs/a-run-of-a-long-name", COLUMNS, ROWS))
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", ["", "0", "1", "20", "40", "62", "80"])
def test_names_are_whole_in_any_width_and_columns_that_do_not_fit_are_named(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(columns, monkeypatch, capsys)
    assert "runs/a-run-of-a-long-name" in out
    for name, rate, *_ in ROWS:
        assert re.search(rf"^ {name} +{rate}\b|^ {name} +–", out, re.MULTILINE), out
    _, _, left_out = out.partition("Left out, for want of room: ")
    for index, column in enumerate(COLUMNS[2:], 2):
        dropped = column in left_out
        assert dropped == (column not in out.removesuffix(left_out))
        assert all((row[index] in out) != dropped for row in ROWS if len(row[index]) > 1)
    assert bool(left_out) == (columns in ("1", "20", "40"))
    fits = max(len(line.rstrip()) for line in out.splitlines())
    assert columns not in ("62", "80") or fits <= int(columns)


def test_a_table_may_have_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    console.output().print(table("names", ["name"], [["a-name"]]))
    assert "a-name" in capsys.readouterr().out


def test_what_is_printed_is_text_and_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = "[/] leaves='*/[po]*' [bold] :smile: [link=x]y"
    monkeypatch.setenv("COLUMNS", "200")
    console.output().print(strange)
    console.output().print(table(strange, [strange, "x"], [[strange, strange]], text=["x"]))
    assert capsys.readouterr().out.count(strange) == 5

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(strange, 1) as report:
        report(strange, 1)
    assert sys.stderr.getvalue().count(strange) >= 2
