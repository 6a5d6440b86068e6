"""`train --memory-budget`: what training says that it will take, and the form that fits."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from metadescent import zoo
from metadescent.meta.epoch import Footprint
from metadescent.registry import make_problem
from metadescent.runs import fit
from metadescent.runs.plan import plan_of
from metadescent.runs.recipe import Recipe

MIB = 2**20
# Each form less than the one before, and validation less than any.
PEAKS = {
    "two-phase": 400 * MIB,
    "recompute": 300 * MIB,
    "plain": 200 * MIB,
    "segments": 100 * MIB,
}


@pytest.fixture
def peaks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The predicted peak of each form, in a process that holds nothing yet."""

    def footprint(state: Any, f: Any, schedule: Any, estimator: Any, *_: Any) -> Footprint:
        return Footprint(PEAKS[estimator.form], 50 * MIB)

    monkeypatch.setattr(fit, "footprint", footprint)
    monkeypatch.setattr(fit, "resident", lambda: 0)
    return PEAKS


def form_in(folder: str) -> str:
    return json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))["recipe"]["form"]


@pytest.mark.usefixtures("run")
def test_train_says_what_it_will_take(trained: tuple[Path, str, str], train: Callable) -> None:
    *_, said = trained
    size = r"[\d.]+ [KMGT]iB"
    assert re.match(rf"Predicted peak memory {size} \(two-phase\), {size} available\.\n", said)
    assert said.count("Predicted") == 1
    assert "Warning" not in said
    # Where nothing is left to do, nothing will be taken.
    assert "Predicted" not in train("--out", "r", "--resume")[2]


@pytest.mark.parametrize(
    ("epoch", "validation", "available", "warning"),
    [
        (
            300,
            20,
            200,
            "300 MiB of it for the meta-gradient; "
            "try --memory-budget 180MiB or --problems 38 or --unroll 2",
        ),
        (20, 300, 200, "300 MiB of it for validation; try --validation-problems 1"),
        (20, 300, 100, "300 MiB of it for validation; try a machine with more"),
        (200, 20, 200, ""),
    ],
)
def test_train_on_a_machine_too_small_says_what_to_change(
    train: Callable,
    epoch: int,
    validation: int,
    available: int,
    warning: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Footprint(epoch * MIB, validation * MIB)
    monkeypatch.setattr(fit, "footprint", lambda *_, **__: found)
    monkeypatch.setattr(fit, "resident", lambda: 0)
    monkeypatch.setattr(fit, "available", lambda held: available * MIB)
    status, _, said = train("--problems", "64", "--unroll", "4", "--out", "r")
    assert status == 0
    line, after = said.splitlines()[:2]
    peak = max(epoch, validation)
    assert line == f"Predicted peak memory {peak} MiB (two-phase), {available} MiB available."
    if warning:
        assert after == f"Warning: that is more than there is, {warning}."
    else:
        assert "Warning" not in said


@pytest.mark.parametrize(
    ("budget", "form"),
    [
        ("1GiB", "two-phase"),
        ("400MiB", "two-phase"),
        ("399M", "recompute"),
        ("200MiB", "plain"),
        ("100MiB", "segments"),
    ],
)
def test_the_budget_picks_the_quickest_form_that_fits(
    train: Callable, budget: str, form: str, peaks: dict[str, int]
) -> None:
    status, _, said = train("--out", "r", "--memory-budget", budget)
    assert status == 0, said
    assert form_in("r") == form
    assert f"Predicted peak memory {peaks[form] // MIB} MiB ({form})" in said


@pytest.mark.parametrize(
    ("budget", "form", "peak", "tries"),
    [
        ("99MiB", "segments", 100, "110MiB or --problems 57 or --unroll 2"),
        # Where validation alone is too much, no other form is compiled for nothing.
        ("49MiB", "two-phase", 400, "440MiB or --problems 7"),
    ],
)
@pytest.mark.usefixtures("peaks")
def test_a_budget_that_nothing_fits_is_refused_before_anything_is_written(
    train: Callable, budget: str, form: str, peak: int, tries: str
) -> None:
    words = ("--problems", "64", "--unroll", "4", "--out", "r", "--memory-budget", budget)
    assert train(*words) == (
        2,
        "",
        f"metadescent: the memory budget is {budget[:2]} MiB and the leanest form tried, {form}, "
        f"is predicted to peak at {peak} MiB, {peak} MiB of it for the meta-gradient; "
        f"try --memory-budget {tries}\n",
    )
    assert not Path("r").exists()


@pytest.mark.usefixtures("peaks")
def test_the_form_that_is_named_is_the_only_one_tried(train: Callable) -> None:
    named = ("--form", "recompute", "--out", "r", "--memory-budget")
    status, _, said = train(*named, "299MiB")
    assert status == 2
    assert "the leanest form tried, recompute, is predicted to peak at 300 MiB, " in said
    assert train(*named, "300MiB")[0] == 0
    assert form_in("r") == "recompute"


@pytest.mark.usefixtures("peaks")
def test_a_resumed_run_keeps_its_form(train: Callable, assert_same_bits: Callable) -> None:
    assert train("--out", "r", "--memory-budget", "100MiB")[0] == 0
    whole = zoo.load("r")
    # Without the flag, with more room, and by name.
    for more in ((), ("--memory-budget", "1TiB"), ("--form", "segments")):
        shutil.rmtree(Path("r", "checkpoints"))
        status, _, said = train("--out", "r", "--resume", *more)
        assert status == 0
        assert "(segments)" in said
        assert_same_bits(zoo.load("r"), whole)
    status, _, said = train("--out", "r", "--resume", "--form", "recompute")
    assert status == 2
    assert "its form is 'segments' and 'recompute' was asked for" in said


@pytest.mark.slow
@pytest.mark.usefixtures("peaks")
def test_a_search_has_one_form(train: Callable) -> None:
    words = ("--out", "r", "--search", "2", "--memory-budget", "100MiB")
    status, _, said = train(*words)
    assert status == 0, said
    folders = ("r", "r/search/trial-0", "r/search/trial-1")
    assert [form_in(folder) for folder in folders] == 3 * ["segments"]


def test_an_accelerator_has_a_memory_of_its_own(
    tiny: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Accelerator:
        def memory_stats(self) -> dict[str, int]:
            return {"bytes_in_use": 5 * MIB, "bytes_limit": 70 * MIB}

    monkeypatch.setattr(fit, "footprint", lambda *_, **__: Footprint(2 * MIB, 3 * MIB))
    monkeypatch.setattr(jax, "local_devices", lambda: [Accelerator()])
    problem, recipe = make_problem("quadratic"), Recipe(**tiny)
    found = fit.predict(tmp_path, problem, "quadratic", plan_of(recipe), resume=False)
    assert (found.peak, found.available) == (8 * MIB, 70 * MIB)
