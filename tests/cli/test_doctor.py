"""`doctor` on a run, and what `train` says at its end."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_train_ends_with_a_summary_of_its_own_log(trained: tuple[Path, str, str]) -> None:
    run, out, _ = trained
    verdict = re.search(
        r"^(learning|not yet): best validation loss \S+; doing nothing has", out, re.M
    )
    assert verdict, out
    assert verdict.start() > out.index("Best validation loss")
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert len(line["gradient_norms"]) == 2
    assert line["saturated_inputs"] is None  # there is no preprocessing
    assert 0 < line["hidden"] < 1


@pytest.fixture(scope="module")
def examined(once: Callable, trained: tuple[Path, str, str]) -> tuple[dict[str, Any], str]:
    """What the doctor says of a run, as JSON and in print."""
    folder, out, _ = once("doctor", str(trained[0]), "--json", "found.json")
    return json.loads((folder / "found.json").read_text()), out


def test_the_doctor_measures_and_says_what_it_finds(examined: tuple[dict[str, Any], str]) -> None:
    found, out = examined
    assert found["findings"]
    for finding in found["findings"]:
        assert f"{finding['verdict']}: {finding['numbers']}." in out
    for name in ("update ÷ gradient", "loss at the horizon of 4 steps", "loss after 8 steps"):
        assert name in found["measured"]
        assert name in out


@pytest.mark.usefixtures("run", "examined")
def test_the_doctor_takes_another_problem_and_a_narrow_terminal(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    # The same by another name, so that it needs no other program.
    status, out, said = metadescent("doctor", "r", "--on", "quadratic(dimension=10)")
    assert status == 0, said
    tables = [line for line in out.splitlines() if line.startswith(" ")]
    assert max(map(len, tables)) <= 60
    assert "32 fresh problems of quadratic(dimension=10)" in out
    assert "no problem named 'qudratic'" in metadescent("doctor", "r", "--on", "qudratic")[2]


@pytest.mark.parametrize("command", ["doctor", "report"])
def test_a_folder_that_is_no_run_is_named(command: str, metadescent: Callable) -> None:
    status, out, said = metadescent(command, "nowhere")
    assert (status, out) == (2, "")
    assert said == (
        "metadescent: nowhere is not a run folder: its config.json is missing or damaged\n"
    )


@pytest.mark.parametrize("command", ["doctor", "report"])
def test_one_problem_has_no_interval(command: str, metadescent: Callable) -> None:
    status, _, said = metadescent(command, "r", "--seeds", "1")
    assert status == 2
    assert said.splitlines()[-1] == "metadescent: seeds is 1 and must be at least 2"
