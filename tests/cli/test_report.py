"""`report`: one page on a run."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.usefixtures("run")
def test_a_report_is_one_small_page(metadescent: Callable) -> None:
    words = ("report", "r", "--against", "sgd")
    status, out, said = metadescent(*words)
    assert status == 0, said
    assert f"Report: {Path('r', 'report.html')}" in out
    text = Path("r", "report.html").read_text()
    assert len(text.encode()) < 1_000_000
    for heading in (
        *("The doctor says", "Meta-training", "Comparison", "What it does"),
        *("Measurements", "Configuration"),
    ):
        assert f"<h2>{heading}</h2>" in text
    assert text.count("<img ") == 4
    assert "lstm(layers=(4,), p=None, scale=1.0)" in text
    assert metadescent(*words, "--out", "again.html")[0] == 0
    assert Path("again.html").read_text() == text
