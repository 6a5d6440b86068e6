"""A fair comparison: the same fresh problems for all, every baseline tuned, and tuned elsewhere."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent.baselines import BASELINES, STANDARD
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.descent.curves import Curve, learning_curves, summarize
from metadescent.descent.tuning import Tuned
from metadescent.descent.tuning_cache import cached_tune
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.quadratic import Quadratic

MODULE = sys.modules["metadescent.descent.comparison"]
PROBLEM = Quadratic(dimension=2)
M = LSTM((2,), key=jax.random.key(0))
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def result() -> Comparison:
    return compare(
        {"one": M, "same": M},
        PROBLEM,
        "small",
        baselines=["sgd"],
        num_steps=4,
        num_seeds=3,
        seed=5,
    )


def test_the_learned_come_first_and_have_no_rate(result: Comparison) -> None:
    assert {name: curve.rate is None for name, curve in result.curves.items()} == {
        "one": True,
        "same": True,
        "sgd": False,
    }
    assert list(result.curves) == ["one", "same", "sgd"]


def test_margins_are_over_differences_on_the_same_problems(result: Comparison) -> None:
    key, sizes = problem_keys(5)[1], {"num_steps": 4, "num_seeds": 3}
    sgd = BASELINES["sgd"].make(result.tuned["sgd"].rate)
    apart = learning_curves(sgd, PROBLEM, key, **sizes) - learning_curves(M, PROBLEM, key, **sizes)
    assert list(result.margins) == ["sgd"]
    for found, expected in zip(result.margins["sgd"][:3], summarize(apart)[:3], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert compare({}, PROBLEM, "small", baselines=["sgd"], num_steps=2, num_seeds=2).margins == {}


def test_held_out_losses_stand_beside_the_curves() -> None:
    found = compare(
        {"one": M},
        PROBLEM,
        "small",
        baselines=["sgd"],
        num_steps=4,
        num_seeds=2,
        held_out=Quadratic(dimension=2),
        every=2,
    )
    assert list(found.held_out) == ["one", "sgd"]
    assert found.held_out["sgd"].rate == found.curves["sgd"].rate
    assert found.held_out["one"].mean.shape == (2,)
    # f is the same function here, and has no minibatches.
    np.testing.assert_allclose(found.held_out["one"].mean, found.curves["one"].mean[1::2])
    written = found.to_json()["held_out"]
    assert written["every"] == 2
    assert len(written["curves"]["one"]["mean"]) == 2


def test_where_nothing_is_held_out_nothing_is_written(result: Comparison) -> None:
    assert "held_out" not in result.to_json()


def test_everyone_faces_the_same_problems(result: Comparison) -> None:
    _, report_key = jax.random.split(jax.random.key(5))
    rules = {"one": M, "same": M, "sgd": optax.sgd(result.tuned["sgd"].rate)}
    for name, m in rules.items():
        expected = summarize(learning_curves(m, PROBLEM, report_key, num_steps=4, num_seeds=3))
        for found, curve in zip(result.curves[name][:3], expected, strict=False):
            np.testing.assert_allclose(found, curve, rtol=1e-5)


def test_a_baseline_runs_at_its_best_rate_which_lies_inside_its_grid(result: Comparison) -> None:
    tuned = result.tuned["sgd"]
    assert result.curves["sgd"].rate == tuned.rate
    assert tuned.grid[0] < tuned.rate < tuned.grid[-1]
    assert tuned.rate == tuned.grid[int(np.argmin(tuned.final_losses))]


def pretend(rate: float = 0.1) -> Tuned:
    return Tuned(rate, [0.01, 0.1, 1.0], [3.0, 1.0, 2.0], "a criterion")


class Searches:
    """Stands in for `tune`: remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, name: str, problem: Any, key: Any, **sizes: int) -> Tuned:
        self.asked.append((name, jax.random.key_data(key).tolist(), sizes))
        return pretend()


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Searches:
    stand_in = Searches()
    monkeypatch.setattr(MODULE, "tune", stand_in)
    return stand_in


def test_rates_are_tuned_on_other_problems_than_those_reported(
    searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = []

    def curves(m: Any, problem: Any, key: Any, *, num_steps: int, num_seeds: int) -> jax.Array:
        reported.append(jax.random.key_data(key).tolist())
        return jnp.ones((num_seeds, num_steps))

    monkeypatch.setattr(MODULE, "learning_curves", curves)
    compare({"m": M}, PROBLEM, "small", num_steps=4, num_seeds=3)
    assert [name for name, *_ in searches.asked] == list(STANDARD)
    (tune_key,) = {tuple(key) for _, key, _ in searches.asked}
    (report_key,) = {tuple(key) for key in reported}
    assert tune_key != report_key
    assert len(reported) == 1 + len(STANDARD)


@pytest.mark.parametrize(("seeds", "expected"), [(3, 32), (100, 100), (5000, 5000)])
def test_rates_are_judged_on_as_many_problems_as_are_reported_and_not_on_few(
    seeds: int, expected: int, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "learning_curves", lambda *_, **__: jnp.ones((3, 4)))
    compare({}, PROBLEM, "small", baselines=["sgd"], num_steps=4, num_seeds=seeds)
    compare({}, PROBLEM, "small", baselines=["sgd"], num_steps=4, num_seeds=seeds, tune_seeds=7)
    assert [sizes for *_, sizes in searches.asked] == [
        {"num_steps": 4, "num_seeds": expected},
        {"num_steps": 4, "num_seeds": 7},
    ]


def test_progress_is_told_of_every_search_and_every_run(
    searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "learning_curves", lambda *_, **__: jnp.ones((3, 4)))
    said: list[str] = []
    compare({"m": M}, PROBLEM, "small", baselines=["sgd", "nag"], progress=said.append)
    assert said == ["tuned sgd", "tuned nag", "ran m", "ran sgd", "ran nag"]


def test_an_unknown_baseline_is_refused(sentence: Callable) -> None:
    assert sentence(compare, {}, PROBLEM, "small", baselines=["adagrad"]).startswith(
        "there is no baseline 'adagrad'"
    )


def test_the_best_baseline_is_the_one_with_the_lowest_figure() -> None:
    curves = {
        "learned": Curve(*np.zeros((3, 2))),
        "sgd": Curve(*np.tile([5.0, 1.0], (3, 1)), 0.1),
        "nag": Curve(*np.tile([1.0, 2.0], (3, 1)), 0.1),
    }
    result = Comparison("p", 2, 1, curves, {"sgd": pretend(), "nag": pretend()}, 0.0)
    assert result.best_baseline(lambda curve: curve.final) == "sgd"
    assert result.best_baseline(lambda curve: curve.sum) == "nag"
    diverged = Curve(*np.full((3, 2), np.nan), 0.1)
    result = result._replace(curves=curves | {"sgd": diverged})
    assert result.best_baseline(lambda curve: curve.final) == "nag"


# The cache of tuned rates.


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


def test_the_very_same_search_is_done_once(searches: Searches, tmp_path: Path) -> None:
    assert ask(tmp_path) == ask(tmp_path) == pretend()
    assert len(searches.asked) == 1


def test_without_a_cache_every_search_is_done(searches: Searches) -> None:
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
    other: dict[str, Any], searches: Searches, tmp_path: Path
) -> None:
    ask(tmp_path)
    ask(tmp_path, **other)
    assert len(searches.asked) == 2


def test_other_data_are_another_question(searches: Searches, tmp_path: Path) -> None:
    for pixel in (0, 0, 1):
        ask(tmp_path, problem=small_images(pixel))
    assert len(searches.asked) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"rate": 1}'])
def test_a_damaged_cache_is_made_again(damage: str, searches: Searches, tmp_path: Path) -> None:
    ask(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(damage)
    assert ask(tmp_path) == pretend()
    assert len(searches.asked) == 2
    assert ask(tmp_path) == pretend()
    assert len(searches.asked) == 2


def test_a_cache_that_cannot_be_written_only_costs_time(searches: Searches, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert ask(tmp_path / "file") == pretend()


def test_a_cached_search_is_the_search_to_the_last_digit(tmp_path: Path) -> None:
    first = ask(tmp_path)
    assert ask(tmp_path) == first == ask(None)


def test_rates_may_be_tuned_on_other_data() -> None:
    other = Quadratic(dimension=2, entries="uniform")
    sizes: dict[str, Any] = {"num_steps": 4, "num_seeds": 3, "seed": 5}
    options: dict[str, Any] = {"baselines": ["sgd"], **sizes}
    found = compare({}, PROBLEM, "small", tuned_on=other, **options)
    there = compare({}, other, "other", **options)
    here = compare({}, PROBLEM, "small", **options)
    assert found.tuned == there.tuned
    assert found.tuned["sgd"].final_losses != here.tuned["sgd"].final_losses
    reported = learning_curves(
        optax.sgd(found.tuned["sgd"].rate),
        PROBLEM,
        jax.random.split(jax.random.key(5))[1],
        num_steps=4,
        num_seeds=3,
    )
    np.testing.assert_allclose(found.curves["sgd"].mean, summarize(reported).mean, rtol=1e-5)
