"""The very same search is done once: a cache of outcomes, and what makes a search another one."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from metadescent.descent import tuning_cache
from metadescent.descent.tuning import Tuned
from metadescent.descent.tuning_cache import cached_tune, keep_tuned, kept_tuned
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic

PROBLEM = Quadratic(dimension=2)


def small_images(pixel: int) -> MLPClassification:
    images = np.zeros((4, 2), np.uint8)
    images[0, 0] = pixel
    return MLPClassification(images, np.arange(4) % 2, (2,))


def ask(
    cache: Path | None,
    name: str = "sgd",
    problem: Any = PROBLEM,
    key: int = 0,
    num_steps: int = 4,
    num_seeds: int = 3,
) -> Tuned:
    return cached_tune(name, problem, jax.random.key(key), num_steps, num_seeds, cache)


def test_the_very_same_search_is_done_once(searches: Any, tmp_path: Path) -> None:
    assert ask(tmp_path) == ask(tmp_path) == searches.outcome
    assert len(searches.asked) == 1


def test_without_a_cache_every_search_is_done(searches: Any) -> None:
    assert ask(None) == ask(None)
    assert len(searches.asked) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"name": "nag"},
        {"problem": Quadratic(dimension=3)},
        {"problem": Quadratic(dimension=2, entries="uniform")},
        {"problem": small_images(1)},
        {"key": 1},
        {"num_steps": 5},
        {"num_seeds": 4},
    ],
)
def test_another_question_is_another_search(
    other: dict[str, Any], searches: Any, tmp_path: Path
) -> None:
    ask(tmp_path)
    ask(tmp_path, **other)
    assert len(searches.asked) == 2


def test_other_data_are_another_question(searches: Any, tmp_path: Path) -> None:
    for pixel in (0, 0, 1):
        ask(tmp_path, problem=small_images(pixel))
    assert len(searches.asked) == 2


SOUND = {"rate": 0.1, "grid": [0.01, 0.1, 1.0], "final_losses": [3.0, 1.0, 2.0], "criterion": "c"}
UNSOUND = [
    {"rate": None, "grid": [], "final_losses": [], "criterion": ""},
    *({"rate": rate} for rate in (float("nan"), -0.1, 0.2, "0.1", True, None, [0.1])),
    {"rate": 0.01, "final_losses": [1.0, 3.0, 2.0]},  # at the edge of the grid
    {"rate": -0.1, "grid": [-1.0, -0.1, 1.0]},
    {"grid": [0.01, 0.1]},
    {"grid": [0.01, 0.1, float("inf")]},
    {"grid": [1.0, 0.1, 0.01]},
    {"grid": "abc"},
    {"final_losses": [3.0, 2.5, 2.0]},  # another rate is better
    {"final_losses": [3.0, float("nan"), 2.0]},
    {"final_losses": [float("nan"), 1.0, 2.0]},
    {"diverged": [0, 0]},
    {"diverged": [0, -1, 0]},
    {"criterion": ""},
    {"criterion": None},
]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"rate": 1}', *(json.dumps(SOUND | other) for other in UNSOUND)]
)
def test_a_damaged_cache_is_made_again(damage: str, searches: Any, tmp_path: Path) -> None:
    ask(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(damage)
    with pytest.warns(UserWarning, match="damaged") as said:
        assert ask(tmp_path) == searches.outcome
    (warning,) = said
    assert str(warning.message) == f"{file} is damaged, so the rate of sgd is searched anew"
    assert len(searches.asked) == 2
    assert ask(tmp_path) == searches.outcome
    assert len(searches.asked) == 2


def test_a_cache_that_cannot_be_written_only_costs_time(searches: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert ask(tmp_path / "file") == searches.outcome


def test_a_problem_that_cannot_be_told_from_others_only_costs_time(
    searches: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(problem: Any) -> str:
        raise RuntimeError("no source, no program")

    monkeypatch.setattr(tuning_cache, "fingerprint_of", fail)
    assert ask(tmp_path) == searches.outcome
    assert not list(tmp_path.iterdir())


def test_a_cached_search_is_the_search_to_the_last_digit(tmp_path: Path) -> None:
    first = ask(tmp_path)
    assert ask(tmp_path) == first == ask(None)


def test_what_is_kept_is_found_again_and_nothing_else(tmp_path: Path) -> None:
    question: tuple[Any, ...] = (tmp_path, "sgd", PROBLEM, jax.random.key(0), 10, 4)
    tuned = Tuned(0.1, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "by hand")
    assert kept_tuned(*question) is None
    keep_tuned(tuned, *question)
    assert kept_tuned(*question) == tuned
    assert kept_tuned(tmp_path, "nag", *question[2:]) is None


def test_other_code_is_another_question(
    searches: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tmp_path)
    monkeypatch.setattr(tuning_cache, "CODE", tuning_cache.CODE[1:])
    ask(tmp_path)
    assert len(searches.asked) == 2


def test_everything_of_the_package_that_a_search_runs_is_among_the_code() -> None:
    """What these modules import of their own room, and of the interface of problems."""
    names = {module.__name__ for module in tuning_cache.CODE}
    rooms = ("metadescent.descent.", "metadescent.problems.base", "metadescent.problems.batch")
    imported = {
        getattr(value, "__module__", "") or ""
        for module in tuning_cache.CODE
        for value in vars(module).values()
    }
    assert {name for name in imported if name.startswith(rooms)} <= names
