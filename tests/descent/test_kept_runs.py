"""Losses that are kept: the same question is answered once, and no other question by it."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from metadescent.descent import comparison, kept_runs
from metadescent.descent.comparison import compare
from metadescent.descent.kept_runs import Runs
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

PROBLEM = Quadratic(dimension=2)
M, OTHER = (LSTM((2,), key=jax.random.key(seed)) for seed in (0, 1))
RUNS = Runs(np.asarray([[2.0, 1.0]]), np.asarray([[3.0]]))
SIZES: dict[str, Any] = {"num_steps": 4, "num_seeds": 3}


def never() -> Runs:
    raise AssertionError("it was run again")


@pytest.mark.parametrize("runs", [RUNS, RUNS._replace(held_out=None)])
def test_what_was_run_is_not_run_again(runs: Runs, tmp_path: Path) -> None:
    assert kept_runs.run_once(tmp_path / "new", "adam", [1], lambda: runs).before == 0
    again = kept_runs.run_once(tmp_path / "new", "adam", [1], never)
    np.testing.assert_array_equal(again.losses, runs.losses)
    assert (again.held_out is None) == (runs.held_out is None)
    assert again.before > 0


def test_another_question_or_other_code_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, question in (("adam", [1]), ("adam", [2]), ("nag", [1])):
        kept_runs.run_once(tmp_path, name, question, lambda: RUNS)
    assert len([*tmp_path.iterdir()]) == 3
    monkeypatch.setattr(kept_runs, "_code", lambda: "another")
    with pytest.raises(AssertionError, match="again"):
        kept_runs.run_once(tmp_path, "adam", [1], never)


def test_words_in_code_change_no_question() -> None:
    source = 'def f(x):\n    """Words."""\n    return x + 1\n'
    does = kept_runs._without_words
    assert does(source) == does('"""A module."""\n\ndef f(x):  # a remark\n    return x + 1\n')
    assert does(source) != does(source.replace("1", "2"))


class Trap:
    """Ends the test if it is read back."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        return never, ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda _: b"",
        lambda _: b"losses",
        lambda _: pickle.dumps(Trap()),
    ],
)
def test_a_damaged_file_is_made_anew(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    kept_runs.run_once(tmp_path, "adam", [1], lambda: RUNS)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert kept_runs.run_once(tmp_path, "adam", [1], lambda: RUNS).before == 0
    assert kept_runs.run_once(tmp_path, "adam", [1], never).before > 0


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for _ in range(2):
        assert kept_runs.run_once(tmp_path / "file", "adam", [1], lambda: RUNS) is RUNS
    assert (tmp_path / "file").read_text() == "mine"


def compared(m: LearnedOptimizer, folder: Path | None, **options: Any) -> comparison.Comparison:
    named = {"baselines": ["sgd"], "tune_seeds": 2, "kept": folder, **SIZES, **options}
    return compare({"learned": m}, PROBLEM, "small", **named)


def test_a_comparison_goes_on_and_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, first = compared(M, None), compared(M, tmp_path)
    assert plain.before == first.before == 0
    # The LSTM's file is lost, so it alone runs.
    (path,) = tmp_path.glob("learned-*")
    path.unlink()
    ran = []
    real = comparison.learning_curves
    monkeypatch.setattr(
        comparison,
        "learning_curves",
        lambda m, *args, **how: ran.append(m) or real(m, *args, **how),
    )
    again = compared(M, tmp_path)
    assert len(ran) == 1
    assert 0 < again.before < again.minutes
    for name, losses in plain.losses.items():
        np.testing.assert_array_equal(first.losses[name], losses)
        np.testing.assert_array_equal(again.losses[name], losses)


@pytest.mark.parametrize(
    ("m", "options"),
    [
        (OTHER, {}),
        (M, {"seed": 1}),
        (M, {"num_steps": 5}),
        (M, {"num_seeds": 4}),
        (M, {"held_out": PROBLEM, "every": 1}),
    ],
)
def test_other_runs_have_other_files(
    m: LearnedOptimizer, options: dict[str, Any], tmp_path: Path
) -> None:
    compared(M, tmp_path)
    compared(m, tmp_path, **options)
    assert len([*tmp_path.glob("learned-*")]) == 2
