"""`report`: one page on a run."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = ("--against", "sgd")


@pytest.fixture(scope="module")
def reported(once: Callable, trained: tuple[Path, str, str]) -> tuple[Path, str]:
    """Where a report is, and what is printed."""
    folder, out, _ = once("report", str(trained[0]), *WORDS, "--out", "first.html")
    return folder / "first.html", out


def test_a_report_is_one_small_page(reported: tuple[Path, str]) -> None:
    path, out = reported
    assert "Report: first.html" in out
    text = path.read_text()
    assert len(text.encode()) < 1_000_000
    for heading in (
        *("The doctor says", "Meta-training", "Comparison", "What it does"),
        *("Measurements", "Configuration", "Speed-up", "Made by"),
    ):
        assert f"<h2>{heading}</h2>" in text
    assert text.count("<img ") == 4
    # The speed-up comes first.
    assert re.findall(r"<h2>(.*?)</h2>", text)[0] == "Speed-up"
    assert f"metadescent report {folder_of(text)} --out first.html --against sgd" in text
    assert "lstm(layers=(4,), p=None, scale=1.0)" in text


@pytest.mark.usefixtures("run")
def test_the_same_report_is_the_same_page_and_lies_in_the_run(
    reported: tuple[Path, str], metadescent: Callable
) -> None:
    status, out, said = metadescent("report", "r", *WORDS)
    assert status == 0, said
    assert f"Report: {Path('r', 'report.html')}" in out
    # But for when and by which words it was made, and for the wall-clock time of a step, which
    # stands after two ratios, a loss and, where any diverged, how many did.
    text, first = Path("r", "report.html").read_text(encoding="utf-8"), reported[0].read_text()
    assert '<th scope="col" class="whole">µs a step</th>' in text
    assert untimed(apart(text)[0]) == untimed(apart(first)[0])
    assert "metadescent report r --against sgd" in apart(text)[1]


def apart(text: str) -> list[str]:
    """What a page says, and how it was made."""
    return text.split("<h2>Made by</h2>")


def untimed(text: str) -> str:
    """A page without the times of steps."""
    before = 4 + ('<th scope="col" class="whole">diverged</th>' in text)
    return re.sub(rf"(?m)^(<tr>(?:<t[hd][^/]*/t[hd]>){{{before}}})<td[^>]*>[^/]*", r"\1", text)


def folder_of(text: str) -> str:
    """The run that the command on a page names."""
    return re.findall(r"metadescent report (\S+)", text)[0]
