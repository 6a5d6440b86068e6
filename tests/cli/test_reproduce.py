"""`reproduce`: a figure, its claims, and its optimizers trained anew."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from metadescent.cli.baselines import quick_to_compile
from metadescent.descent import comparison
from metadescent.descent.baselines import STANDARD
from metadescent.descent.beginnings import as_begun
from metadescent.figures import paper
from metadescent.figures.paper.budgets import BUDGETS, Budget, Seeds
from metadescent.figures.paper.claims import Claim
from metadescent.figures.paper.panels import LearningCurves, Setting
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.runs.recipe import Recipe
from metadescent.zoo import catalogue


@pytest.fixture
def small_mnist(tmp_path: Path) -> str:
    """A folder with 40 images in MNIST's own format, which show how large their label is."""
    labels = np.arange(40) % 10
    images = np.where(np.arange(28) < 2 * labels[:, None, None] + 5, 255, 0) * np.ones((28, 1))
    folder = tmp_path / "data"
    folder.mkdir()
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes()
        (folder / name).write_bytes(header + array.astype(np.uint8).tobytes())
    return str(folder)


@pytest.fixture
def small_zoo(save: Callable, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimizers that have learned nothing, under the names of the pretrained ones."""
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "zoo")
    for name in ("quadratic", "quadratic-uniform", "mnist"):
        file = tmp_path / "zoo" / f"{name}-lstm.safetensors"
        save(file, trained_on=name, recipe=asdict(Recipe(**tiny)))


def test_what_is_quick_to_compile_is_so_within_and_nowhere_else() -> None:
    def quick() -> bool:
        return jax.config.read("jax_disable_most_optimizations")

    with quick_to_compile(False):
        assert not quick()
    with suppress(ZeroDivisionError), quick_to_compile():
        assert quick()
        raise ZeroDivisionError
    assert not quick()


@pytest.mark.slow
@pytest.mark.usefixtures("small_zoo")
def test_a_smoke_run_draws_the_figure_and_judges_no_claim(
    check_evaluation: Callable, small_mnist: str, metadescent: Callable, tmp_path: Path
) -> None:
    words = ("reproduce", "figure4", "--budget", "smoke", "--data-dir", small_mnist)
    status, out, said = metadescent(*words, "--json", "f.json", "--out", "o")
    assert status == 0, said
    assert "not judged" in out
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"figure4.png", "figure4.svg"}
    found = json.loads((tmp_path / "f.json").read_text())
    assert list(found) == ["figure", "made", "panels", "claims", "rates", "runs"]
    assert found["made"]["budget"] == "smoke"
    assert found["made"]["retrained"] is False
    # Nothing that looks like a verdict is shown.
    assert "measured" not in out
    assert list(found["runs"]) == list(found["panels"])
    assert found["figure"] == "figure4"
    assert {"left", "center", "right"} <= set(found["panels"])
    for panel in found["panels"].values():
        name, steps, seeds = (panel[key] for key in ("problem", "steps", "seeds"))
        learned = [n for n, curve in panel["curves"].items() if curve["rate"] is None]
        if learned:
            assert learned == [f"{name}-lstm", as_begun(f"{name}-lstm")]
            # The control is one curve more.
            del panel["curves"][learned[1]]
            check_evaluation(
                panel, name, learned[0], STANDARD, steps=steps, seeds=seeds, timed=False
            )
    assert len(found["claims"]) >= 3
    for claim in found["claims"]:
        assert list(claim) == list(Claim._fields)
        # Of a smoke run nothing is judged.
        assert claim["holds"] is None

    # Trained anew, the optimizers are others, and the baselines are what they were.
    status, _, said = metadescent(*words, "--json", "again.json", "--out", "o", "--retrain")
    assert status == 0, said
    runs = {path.parent.name for path in (tmp_path / "o").rglob("config.json")}
    assert runs == {"quadratic-lstm", "quadratic-uniform-lstm", "mnist-lstm"}
    again = json.loads((tmp_path / "again.json").read_text())
    for before, after in zip(found["panels"].values(), again["panels"].values(), strict=True):
        for name, curve in before["curves"].items():
            assert (after["curves"][name] == curve) == (curve["rate"] is not None)


@pytest.fixture
def two_figures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two figures in place of the paper's; the second needs MNIST."""
    settings = {
        "first": Setting("quadratic", "quadratic-lstm", 100, "functions", "", "", ("sgd",)),
        "second": Setting("mnist", "mnist-lstm", 100, "networks", "", "", ("sgd",)),
    }
    made = {n: LearningCurves(n, {"panel": setting}, []) for n, setting in settings.items()}
    monkeypatch.setattr(paper, "experiments", lambda: made)
    return list(made)


ALL = ("reproduce", "all", "--budget", "smoke", "--out", "o")


@pytest.mark.slow
@pytest.mark.usefixtures("small_zoo", "two_figures")
def test_all_figures_are_made_and_a_second_call_goes_on(
    small_mnist: str, metadescent: Callable, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    status, out, said = metadescent(*ALL, "--data-dir", "empty")
    assert status == 2
    assert "1 of 2 figures were not made: second" in said
    assert "first: not judged; " in out
    assert {path.name for path in (tmp_path / "o").iterdir()} == {
        *("first.svg", "first.png", "first.json", "reproduction.html")
    }
    page = (tmp_path / "o" / "reproduction.html").read_text()
    assert "Not made" in page
    first = (tmp_path / "o" / "first.json").read_bytes()

    # With the data the second is made, too, and the first stays as it was.
    status, out, said = metadescent(*ALL, "--data-dir", small_mnist)
    assert status == 0, said
    assert "first: not judged; made before" in out
    assert (tmp_path / "o" / "first.json").read_bytes() == first
    page = (tmp_path / "o" / "reproduction.html").read_text()
    assert "Not made" not in page
    assert page.count("data:image/png;base64,") == 2

    # Another seed, or a file that is damaged, has a figure made anew.
    (tmp_path / "o" / "second.json").write_text("{")
    status, out, said = metadescent(*ALL, "--data-dir", small_mnist, "--seed", "1")
    assert status == 0, said
    assert "made before" not in out
    assert [
        json.loads((tmp_path / "o" / f"{n}.json").read_text())["made"]["seed"]
        for n in ("first", "second")
    ] == [1, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("small_zoo", "two_figures")
def test_an_interrupted_figure_goes_on(
    metadescent: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(*[Seeds(2, 2)] * 8, horizon=0.02)
    monkeypatch.setitem(BUDGETS, "cpu", budget)
    real = comparison.learning_curves

    def without_sgd(m: Any, *args: Any, **how: Any) -> Any:
        if not isinstance(m, LearnedOptimizer):
            raise KeyboardInterrupt
        return real(m, *args, **how)

    def none(*args: Any, **how: Any) -> Any:
        raise AssertionError("it was run again")

    words = ("reproduce", "first", "--out", "o", "--json", "f.json")
    with monkeypatch.context() as patch:
        patch.setattr(comparison, "learning_curves", without_sgd)
        assert metadescent(*words)[0] == 130
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"first.losses"}
    assert len([*(tmp_path / "o" / "first.losses").iterdir()]) == 2
    assert metadescent(*words)[0] == 0
    first = json.loads((tmp_path / "f.json").read_text())
    # Now nothing is left to run.
    monkeypatch.setattr(comparison, "learning_curves", none)
    status, _, said = metadescent(*words, "--style", "dark")
    assert status == 0, said
    assert json.loads((tmp_path / "f.json").read_text())["runs"] == first["runs"]


def test_all_figures_have_no_json_in_common(metadescent: Callable) -> None:
    status, _, said = metadescent(*ALL, "--json", "all.json")
    assert status == 2
    assert "all figures have a JSON each, in o, and none is written to all.json" in said
