"""`demo`: the whole of it, from scratch."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metadescent import registry
from metadescent.descent import tuning
from metadescent.descent.baselines import BASELINES


# Its programs are those that the evaluation takes, too.
@pytest.mark.usefixtures("evaluated")
def test_demo_learns_compares_draws_and_may_be_repeated(
    check_evaluation: Callable,
    tiny: dict,
    metadescent: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "recipe_of", lambda problem: tiny)
    # One whose programs are there.
    names = ["sgd"]
    monkeypatch.setattr(tuning, "baselines_for", lambda problem: names)
    for _ in range(2):
        status, out, _ = metadescent("demo", "--epochs", "2", "--seeds", "3", "--out", "d")
        assert status == 0
        assert all(name in out for name in ("LSTM", "untrained", *names))
    found = json.loads((tmp_path / "d" / "demo.json").read_text())
    # What training is worth is seen beside the φ that it began with.
    untrained = found["curves"].pop("untrained")
    assert untrained["rate"] is None
    check_evaluation(found, "quadratic", "LSTM", names, steps=4, seeds=3, timed=False)
    assert untrained["mean"] != found["curves"]["LSTM"]["mean"]
    assert {path.name for path in (tmp_path / "d").iterdir()} == {
        "quadratic-lstm",
        "demo.json",
        "demo.png",
        "demo.svg",
    }


@pytest.mark.slow
def test_demo_as_it_is(metadescent: Callable) -> None:
    status, out, _ = metadescent("demo", "--epochs", "1", "--seeds", "8")
    assert status == 0
    assert all(name in out for name in ("LSTM", "untrained", *BASELINES))
    assert Path("runs/demo/demo.png").is_file()
