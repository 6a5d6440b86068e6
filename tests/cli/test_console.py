"""Progress that a person can follow and a log can hold."""

import io
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import monitoring
from jax._src import monitoring as _monitoring
from rich.console import Console

from metadescent.cli import console, pace
from metadescent.cli.console import SECONDS_BETWEEN_LINES, progress, table

TRACE = "/jax/core/compile/jaxpr_trace_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"


class Clock:
    """Stands in for the time module."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stand_in = Clock()
    monkeypatch.setattr(pace, "time", stand_in)
    return stand_in


@contextmanager
def compilation(clock: Clock, seconds: float) -> Iterator[None]:
    """What JAX says of a compilation, and of a trace within it, that take so long."""
    monitoring.record_scalar(COMPILE, 0.0)
    monitoring.record_scalar(TRACE, 0.0)
    clock.now += seconds / 2
    monitoring.record_event_duration_secs(TRACE, seconds / 2)
    clock.now += seconds / 2
    yield
    monitoring.record_event_duration_secs(COMPILE, seconds)


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
        "train 1/4, 30 s left: loss 0",
        "train 2/4, 20 s left: loss 1",
        "train 3/4, 10 s left: loss 2",
        "train 4/4, 0 s left: loss 3",
    ]


def test_no_time_is_less_than_none(clock: Clock) -> None:
    with pace.paced(2, 0) as of_two:
        for moved in (10.0, 10.0, 10.0, 100.0, -5000.0):
            clock.now += moved
            of_two.report("", 1)
            assert (of_two.left() or 0.0) >= 0.0
    assert [pace.clock(x) for x in (-7200.0, -0.4, 0.0, 20.0, 200.0, 3800.0)] == [
        *("0 s", "0 s", "0 s", "20 s", "3:20", "1:03:20")
    ]
    for unknown in (math.inf, -math.inf, math.nan):
        assert pace.clock(unknown) == "an unknown time"


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


def test_lines_of_a_day_are_hundreds_and_not_thousands(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("train", 24 * 360) as report:
        for _ in range(24 * 360):
            clock.now += 10.0
            report("", 1)
    assert len(capsys.readouterr().err.splitlines()) < 400


def test_the_time_left_counts_only_what_is_done_now_and_no_compilation(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    # Resumed at 50 of 100: 60 s of compilation, 9 s that load too, and 6 s an epoch from then on.
    with progress("train", 100, done=50) as report:
        with compilation(clock, 60.0):
            report("compiling")
        for seconds in (9.0, 6.0):
            clock.now += seconds
            report("", 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "train 50/100: compiling",
        "train 51/100, 7:21 left: ",
        "train 52/100, 4:48 left: ",
    ]


@given(
    each=st.floats(0.01, 5000.0),
    compiled=st.floats(0.0, 1000.0),
    units=st.integers(1, 20),
    since=st.floats(0.0, 0.85),
)
def test_of_units_of_one_length_the_time_left_is_that_of_the_rest(
    each: float, compiled: float, units: int, since: float
) -> None:
    """Epochs of hours too, whatever was compiled before or between them."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "time", clock)
        with pace.paced(30, 0) as work:
            assert work.left() is None
            for _ in range(units):
                with compilation(clock, compiled):
                    assert work.compiling() == pytest.approx(compiled, abs=1e-6)
                clock.now += each
                work.report("", 1)
            clock.now += since * each
            assert work.compiling() == 0.0
            assert work.left() == pytest.approx((30 - units - since) * each, rel=1e-6)
            assert work.share() == pytest.approx((units + since) / 30, rel=1e-6)
            # Never the whole of a unit, however long it takes; then it is more that is left.
            clock.now += 100 * each
            assert units / 30 < work.share() < (units + 1) / 30
            assert (work.left() or 0.0) > (30 - units - since) * each


def test_units_that_were_looked_up_do_not_make_the_rest_a_matter_of_no_time() -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "time", clock)
        with pace.paced(9, 0) as work:
            for _ in range(4):
                work.report("tuned", 1)
            clock.now += 10.0
            assert 2.0 < (work.left() or 0.0) < 50.0


def test_part_of_a_unit_counts(clock: Clock) -> None:
    with pace.paced(1, 0) as work:
        for part in (0.25, 0.5, 0.75):
            clock.now += 10.0
            work.report("rates", part=part)
            assert work.left() == pytest.approx((1 - part) * 40.0)
            assert work.share() == pytest.approx(part)
        work.report("tuned", 1)
        assert (work.done, work.part, work.share()) == (1, 0.0, 1.0)


def test_in_long_silence_a_line_says_what_goes_on(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with pace.paced(80, 3) as work:
        lines = console._Lines("train", work)
        with compilation(clock, 24.0):
            lines.tick()
        clock.now += 5.0
        lines.tick()
        for _ in range(100):
            clock.now += 1.0
            lines.tick()
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["train 3/80: compiling for 24 s", "train 3/80: at 4/80 for 10 s"]
    assert 5 <= len(said) <= 11


def test_before_anything_is_done_no_time_is_guessed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("train", 3) as report:
        report("compiling")
    assert capsys.readouterr().err == "train 0/3: compiling\n"


def test_what_jax_compiles_is_heard_of() -> None:
    with pace.paced(1, 0) as work:
        jax.jit(lambda x: x * 3 + 2)(jnp.ones(3)).block_until_ready()
        assert 0.0 < work._compiled < work.elapsed()
        assert work.compiling() == 0.0
    assert work.begin_compiling not in _monitoring._scalar_listeners
    assert work.end_compiling not in _monitoring._event_duration_secs_listeners


WORDS = "meta-loss 0.512, validation 0.432, best 0.431, meta-rate 0.001"


@pytest.mark.parametrize("title", ["meta-train", "tune for quadratic(dimension=20) + mnist"])
@pytest.mark.parametrize("width", range(30, 130, 5))
def test_words_go_before_the_bar_and_never_the_count_or_the_time_left(
    width: int, title: str, clock: Clock
) -> None:
    with pace.paced(800, 0) as work:
        clock.now += 45.0
        work.report(WORDS, 1)
        clock.now += 45.0
        work.report(WORDS, 1)
        line = console._Bar(title, work).line(width).plain
        assert len(line) <= width
        assert "  2/800 9:58:30 left" in line
        assert ("─" in line) or width < 40 or title != "meta-train"
        # Clauses are whole.
        words = line.partition(" left")[2].removeprefix(" ")
        clauses = WORDS.split(", ")
        assert words in [", ".join(clauses[:count]) for count in range(len(clauses) + 1)]
        assert words or width < 60 or title != "meta-train"
        assert words == WORDS or width < 115 or title != "meta-train"
        with compilation(clock, 12.0):
            during = console._Bar("meta-train", work).line(max(width, 60)).plain
            assert during.endswith("9:58:30 left after compiling …")
    with pace.paced(800, 0) as work, compilation(clock, 12.0):
        assert console._Bar("meta-train", work).line(60).plain.endswith("0/800 12 s compiling …")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", ["40", "60", "80", "100"])
def test_on_a_terminal_progress_is_a_bar_of_one_line(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    with progress("train", 4, done=1) as report:
        report("loss 0.5", 1)
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[^@-~]*[@-~]", "", shown).replace("\r", "\n")
    assert "2/4 0 s left" in plain
    assert "loss 0.5" in plain
    assert max(map(len, plain.splitlines())) <= int(columns)


def test_where_a_terminal_is_dumb_progress_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    with progress("train", 4) as report:
        report("loss 0.5", 1)
    assert sys.stderr.getvalue() == "train 1/4, 0 s left: loss 0.5\n"


def test_in_a_notebook_the_bar_is_written_over_and_warnings_have_their_own_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", kernel)
    with progress("train", 4) as report:
        report("loss 0.5", 1)
        print("Warning: so it is.", file=sys.stderr)
        report("loss 0.4", 1)
    lines = kernel.getvalue().split("\n")
    assert "\x1b" not in kernel.getvalue()
    assert "Warning: so it is." in lines
    assert lines[-1] == ""
    assert lines[-2].startswith("\rtrain ━")
    assert "2/4" in lines[-2]
    bars = [bar for line in lines for bar in line.split("\r")[1:]]
    assert {len(bar) for bar in bars} == {console.NOTEBOOK}


def test_a_table_has_its_title_its_columns_and_its_rows() -> None:
    out = io.StringIO()
    rows = [["sgd", "0.1"], ["nag", "12"]]
    Console(file=out, width=60).print(table("Rates", ["name", "rate"], rows))
    text = [line.split() for line in out.getvalue().splitlines()]
    assert all(words in text for words in (["Rates"], ["name", "rate"], *rows))


def test_results_are_whole_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "word " * 100 + "word"
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
    out, *last = re.split(r"Left\s+out,\s+for\s+want\s+of\s+room:", out)
    left_out = " ".join(" ".join(last).split())
    for index, column in enumerate(COLUMNS[2:], 2):
        dropped = column in left_out
        assert dropped == (column not in out)
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

    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(strange, 1) as report:
        report(strange, 1)
    assert sys.stderr.getvalue().count(strange) >= 2
