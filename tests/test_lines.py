"""Sentences in lines: on a terminal they end between words, and elsewhere not at all."""

import io
import re
import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from metadescent._lines import filled, say, width_of
from metadescent.cli import console

SENTENCE = "a sentence of a run that is said to lie in runs/of-a-name-that-is-as-long-as-this.py"


class Terminal(io.StringIO):
    """A terminal that does not know how wide it is."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@given(st.lists(st.text("aé-/.,", min_size=1, max_size=30)), st.integers(0, 40), st.integers(0, 4))
def test_words_are_whole_and_lines_fit_if_their_words_do(
    words: list[str], width: int, indent: int
) -> None:
    text = " " * indent + " ".join(words)
    lines = filled(text, width).split("\n")
    assert [word for line in lines for word in line.split()] == words
    for line in lines:
        assert len(line) <= width or len(line.split()) == 1
        assert not words or line.startswith(" " * indent)


@given(st.text("ab \n", max_size=60), st.integers(1, 20))
def test_what_is_in_lines_stays_in_them(text: str, width: int) -> None:
    once = filled(text, width)
    assert filled(once, width) == once
    assert len(text) > width or once == text


def test_a_command_is_copied_and_a_shell_reads_it_as_one() -> None:
    command = "    metadescent train 'my file.py:lines(size=3, seed=1)' --out runs/mine --epochs 3"
    shown = filled(f"{SENTENCE}\n{command}", 48)
    *_, begin, middle, end = shown.splitlines()
    assert begin == "    metadescent train \\"
    assert middle == "        'my file.py:lines(size=3, seed=1)' \\"
    assert end == "        --out runs/mine --epochs 3"
    for width in range(90):
        shown = filled(command, width)
        # A shell takes out a backslash before the end of a line, with that, and `shlex` does not.
        assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command)
        # A flag is with its value.
        assert {"--out runs/mine", "--epochs 3"} <= {*re.findall(r"--\w+ \S+", shown)}


@pytest.mark.parametrize("columns", ["40", "60", "80"])
def test_a_terminal_is_given_lines_and_a_pipe_sentences(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Terminal())
    assert width_of(sys.stdout) == int(columns)
    say(SENTENCE)
    console.output().print(SENTENCE)
    begin = "a sentence"
    console.output().print(Text.assemble((begin, "bold"), SENTENCE.removeprefix(begin)))
    lines = sys.stderr.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert " ".join(lines.split()) == SENTENCE
    assert lines.count("\n") > 1
    printed = sys.stdout.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert printed == lines + lines.replace(begin, f"\x1b[1m{begin}\x1b[0m")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO())
    say(SENTENCE)
    console.output().print(SENTENCE)
    for stream in (sys.stdout, sys.stderr):
        assert stream.getvalue() == SENTENCE + "\n"  # pyright: ignore[reportAttributeAccessIssue]
