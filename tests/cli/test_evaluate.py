"""`evaluate`: what is compared, drawn and written."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metadescent.cli.tables import print_comparison
from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.descent.tuning import Tuned
from metadescent.runs.outcome import outcome_of
from metadescent.zoo import catalogue

EVALUATE = ("--steps", "4", "--seeds", "3")


def test_the_json_of_evaluate_is_as_documented(
    evaluated: tuple[dict[str, Any], str], check_evaluation: Callable
) -> None:
    found, out = evaluated
    check_evaluation(found, "quadratic", "quadratic", ["sgd", "nag"], steps=4, seeds=3)
    for name in found["curves"]:
        assert name in out


@pytest.mark.parametrize(
    ("learned", "sgd", "marks"),
    [
        (1.0, 2.0, ["m (best)", "sgd"]),
        (2.0, 1.0, ["m (behind)", "sgd (best)"]),
        (float("nan"), 1.0, ["m (behind)", "sgd (best)"]),
    ],
)
def test_winner_and_losers_are_told_without_colour(
    learned: float, sgd: float, marks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    curves = {"m": Curve(*np.full((3, 20), learned)), "sgd": Curve(*np.full((3, 20), sgd), 0.1)}
    tuned = {"sgd": Tuned(0.1, [0.01, 0.1, 1.0], [1.0, 0.0, 1.0], "mean")}
    print_comparison(Comparison("p", 20, 3, curves, tuned, 0.0))
    lines = capsys.readouterr().out.splitlines()
    for mark in marks:
        assert any(re.match(rf" {re.escape(mark)}  ", line) for line in lines)
    print_comparison(Comparison("p", 20, 3, {"m": curves["m"]}, {}, 0.0))
    assert "(" not in capsys.readouterr().out


@pytest.mark.parametrize(("above", "mark"), [(1.0, "(behind)"), (1e-4, "(level)")])
def test_behind_is_marked_only_where_the_sentence_says_so(
    above: float, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    falling = np.tile(np.r_[9.0, np.ones(19)], (16, 1))
    losses = {"m": falling + above, "sgd": falling}
    curves = {name: Curve(*np.stack([loss.mean(0)] * 3)) for name, loss in losses.items()}
    tuned = {"sgd": Tuned(0.1, [0.01, 0.1, 1.0], [1.0, 0.0, 1.0], "mean")}
    comparison = Comparison("p", 20, 16, curves, tuned, 0.0, losses=losses)
    print_comparison(comparison)
    assert f" m {mark}  " in capsys.readouterr().out
    word = "behind" if above == 1.0 else "level with"
    assert f"it is {word} sgd;" in outcome_of(comparison, "m", "it was trained on p")


@pytest.mark.parametrize("name", ["x$^$", "_x", r"_$\frac$"])
def test_an_optimizer_of_any_name_is_drawn(
    name: str, m: str, metadescent: Callable, tmp_path: Path
) -> None:
    Path(m).rename(tmp_path / f"{name}.safetensors")
    words = ("evaluate", f"{name}.safetensors", "quadratic", "--steps", "2", "--seeds", "1")
    assert metadescent(*words, "--against=", "--plot", name)[0] == 0
    assert (tmp_path / f"{name}.svg").stat().st_size > 5000


def test_every_number_that_evaluate_writes_is_json(
    m: str, metadescent: Callable, tmp_path: Path
) -> None:
    # One seed has no interval.
    words = ("evaluate", m, "quadratic", "--steps", "4", "--seeds", "1", "--against=")
    assert metadescent(*words, "--json", "e.json")[0] == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads((tmp_path / "e.json").read_text(), parse_constant=refuse)
    assert found["curves"]["mine"]["ci95"] == 4 * [[None, None]]


def test_evaluate_takes_a_name_a_file_or_a_run_folder(
    save: Callable, m: str, metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    save(tmp_path / "run" / "optimizer.safetensors")
    save(tmp_path / "zoo" / "theirs.safetensors")
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "zoo")
    curves = {}
    for given, name in ((m, "mine"), ("run", "run"), ("theirs", "theirs")):
        words = ("evaluate", given, "quadratic", *EVALUATE, "--against=", "--json", "e.json")
        assert metadescent(*words)[0] == 0
        found = json.loads((tmp_path / "e.json").read_text())["curves"]
        assert list(found) == [name]
        curves[name] = found[name]["mean"]
    assert curves["mine"] == curves["run"] == curves["theirs"]


def test_the_seed_draws_the_problems(m: str, metadescent: Callable, tmp_path: Path) -> None:
    def final(seed: str) -> float:
        words = ("evaluate", m, "quadratic", *EVALUATE, "--against=", "--json", "e.json")
        assert metadescent(*words, "--seed", seed)[0] == 0
        return json.loads((tmp_path / "e.json").read_text())["curves"]["mine"]["final"]

    assert final("0") == final("0") != final("1")


def test_evaluate_draws_the_curves(m: str, metadescent: Callable, tmp_path: Path) -> None:
    words = ("evaluate", m, "quadratic", *EVALUATE, "--against", "sgd", "--plot", "figures/e.svg")
    assert metadescent(*words)[0] == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"e.svg", "e.png"}


def test_an_optimizer_called_adam_is_not_taken_for_adam(
    save: Callable, metadescent: Callable, tmp_path: Path
) -> None:
    save(tmp_path / "adam.safetensors")
    words = ("evaluate", "adam.safetensors", "quadratic", *EVALUATE, "--against", "adam")
    assert metadescent(*words, "--json", "e.json")[0] == 0
    curves = json.loads((tmp_path / "e.json").read_text())["curves"]
    assert [curve["rate"] is None for curve in curves.values()] == [True, False]
