"""A fair comparison: the same fresh problems for all, every baseline tuned, and tuned elsewhere."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent.descent import comparison
from metadescent.descent.baselines import BASELINES, STANDARD
from metadescent.descent.comparison import Comparison, compare, problem_keys
from metadescent.descent.curves import Curve, learning_curves, ratio, summarize
from metadescent.descent.tuning import Tuned
from metadescent.optimizers.lstm import LSTM
from metadescent.problems.quadratic import Quadratic

PROBLEM = Quadratic(dimension=2)
M = LSTM((2,), key=jax.random.key(0))


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
    sgd = BASELINES["sgd"].at(result.tuned["sgd"].rate)
    apart = learning_curves(sgd, PROBLEM, key, **sizes) - learning_curves(M, PROBLEM, key, **sizes)
    assert list(result.margins) == ["sgd"]
    for margin, expected in zip(result.margins["sgd"][:3], summarize(apart)[:3], strict=True):
        np.testing.assert_allclose(margin, expected, rtol=1e-5)
    assert compare({}, PROBLEM, "small", baselines=["sgd"], num_steps=2, num_seeds=2).margins == {}


@pytest.mark.parametrize("value", [1e12, np.inf, np.nan])
@pytest.mark.parametrize("gone", [1, 2, 3])
def test_few_that_diverged_are_counted_and_left_out_of_the_means(
    gone: int, value: float, searches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.tile([4.0, 3.0, 2.0], (40, 1)) + np.arange(40)[:, None] % 2
    losses = rows.copy()
    losses[:gone, 1:] = value
    monkeypatch.setattr(
        comparison, "learning_curves", lambda m, *_, **__: rows if m is M else losses
    )
    result = compare({"m": M}, PROBLEM, "small", baselines=["sgd"], num_steps=3, num_seeds=40)
    assert (result.curves["m"].diverged, result.curves["sgd"].diverged) == (0, gone)
    few = gone <= 2
    kept = summarize(rows[gone:] if few else losses)
    np.testing.assert_allclose(result.curves["sgd"].mean, kept.mean)
    assert np.isfinite(result.margins["sgd"].mean).all() == (few or value == 1e12)
    # On the others both go equally fast.
    assert not few or result.standings("m")["sgd"].speed_up == 1.0


def test_held_out_losses_stand_beside_the_curves() -> None:
    result = compare(
        {"one": M},
        PROBLEM,
        "small",
        baselines=["sgd"],
        num_steps=4,
        num_seeds=2,
        held_out=Quadratic(dimension=2),
        every=2,
    )
    assert list(result.held_out) == ["one", "sgd"]
    assert result.held_out["sgd"].rate == result.curves["sgd"].rate
    assert result.held_out["one"].mean.shape == (2,)
    # f is the same function here, and has no minibatches.
    np.testing.assert_allclose(result.held_out["one"].mean, result.curves["one"].mean[1::2])
    written = result.to_json()["held_out"]
    assert written["every"] == 2
    assert len(written["curves"]["one"]["mean"]) == 2


def test_where_nothing_is_held_out_nothing_is_written(result: Comparison) -> None:
    assert "held_out" not in result.to_json()


def test_everyone_faces_the_same_problems(result: Comparison) -> None:
    _, report_key = jax.random.split(jax.random.key(5))
    rules = {"one": M, "same": M, "sgd": optax.sgd(result.tuned["sgd"].rate)}
    for name, m in rules.items():
        expected = summarize(learning_curves(m, PROBLEM, report_key, num_steps=4, num_seeds=3))
        for curve, alone in zip(result.curves[name][:3], expected, strict=False):
            np.testing.assert_allclose(curve, alone, rtol=1e-5)


def test_a_baseline_runs_at_its_best_rate_which_lies_inside_its_grid(result: Comparison) -> None:
    tuned = result.tuned["sgd"]
    assert result.curves["sgd"].rate == tuned.rate
    assert tuned.grid[0] < tuned.rate < tuned.grid[-1]
    assert tuned.rate == tuned.grid[int(np.argmin(tuned.final_losses))]


def test_rates_are_tuned_on_other_problems_than_those_reported(
    searches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = []

    def curves(m: Any, problem: Any, key: Any, *, num_steps: int, num_seeds: int) -> jax.Array:
        reported.append(jax.random.key_data(key).tolist())
        return jnp.ones((num_seeds, num_steps))

    monkeypatch.setattr(comparison, "learning_curves", curves)
    compare({"m": M}, PROBLEM, "small", num_steps=4, num_seeds=3)
    assert [name for name, *_ in searches.asked] == list(STANDARD)
    (tune_key,) = {tuple(key) for _, key, _ in searches.asked}
    (report_key,) = {tuple(key) for key in reported}
    assert tune_key != report_key
    assert len(reported) == 1 + len(STANDARD)


@pytest.mark.parametrize(("seeds", "expected"), [(3, 32), (100, 100), (5000, 5000)])
def test_rates_are_judged_on_as_many_problems_as_are_reported_and_not_on_few(
    seeds: int, expected: int, searches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "learning_curves", lambda *_, **__: jnp.ones((3, 4)))
    compare({}, PROBLEM, "small", baselines=["sgd"], num_steps=4, num_seeds=seeds)
    compare({}, PROBLEM, "small", baselines=["sgd"], num_steps=4, num_seeds=seeds, tune_seeds=7)
    assert [sizes for *_, sizes in searches.asked] == [
        {"num_steps": 4, "num_seeds": expected},
        {"num_steps": 4, "num_seeds": 7},
    ]


def test_progress_is_told_of_every_search_and_every_run(
    searches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "learning_curves", lambda *_, **__: jnp.ones((3, 4)))
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
    tuned = dict.fromkeys(("sgd", "nag"), Tuned(0.1, [], [], "by hand"))
    result = Comparison("p", 2, 1, curves, tuned, 0.0)
    assert result.best_baseline(lambda curve: curve.final) == "sgd"
    assert result.best_baseline(lambda curve: curve.sum) == "nag"
    diverged = Curve(*np.full((3, 2), np.nan), 0.1)
    result = result._replace(curves=curves | {"sgd": diverged})
    assert result.best_baseline(lambda curve: curve.final) == "nag"


def test_rates_may_be_tuned_on_other_data() -> None:
    other = Quadratic(dimension=2, entries="uniform")
    sizes: dict[str, Any] = {"num_steps": 4, "num_seeds": 3, "seed": 5}
    options: dict[str, Any] = {"baselines": ["sgd"], **sizes}
    across = compare({}, PROBLEM, "small", tuned_on=other, **options)
    on_other = compare({}, other, "other", **options)
    on_own = compare({}, PROBLEM, "small", **options)
    assert across.tuned == on_other.tuned
    assert across.tuned["sgd"].final_losses != on_own.tuned["sgd"].final_losses
    reported = learning_curves(
        optax.sgd(across.tuned["sgd"].rate),
        PROBLEM,
        jax.random.split(jax.random.key(5))[1],
        num_steps=4,
        num_seeds=3,
    )
    np.testing.assert_allclose(across.curves["sgd"].mean, summarize(reported).mean, rtol=1e-5)


def test_a_search_that_was_done_before_is_not_done_again(searches: Any) -> None:
    before = Tuned(0.3, [0.2, 0.3, 0.4], [3.0, 1.0, 2.0], "found before")
    options: dict[str, Any] = {"num_steps": 2, "num_seeds": 2, "searched": {"sgd": before}}
    result = compare({}, PROBLEM, "small", baselines=["sgd", "nag"], **options)
    assert result.tuned == {"sgd": before, "nag": searches.outcome}
    assert [name for name, *_ in searches.asked] == ["nag"]


def test_the_keys_of_a_seed_are_two_and_always_the_same() -> None:
    first, again = problem_keys(0), problem_keys(0)
    assert first == again
    assert first[0] != first[1]


def of_losses(**losses: list[float]) -> Comparison:
    curves = {name: Curve(*[np.asarray(values)] * 3, rate=0.1) for name, values in losses.items()}
    return Comparison("problem", 2, 3, curves, {}, 0.0)


def test_a_ratio_stands_where_it_says_something() -> None:
    assert of_losses(m=[4.0, 3.0], sgd=[4.0, 2.0]).beside("sgd") == ("÷", {"m": 1.5, "sgd": 1.0})
    # A worse optimizer is above, whatever the sign; 0 is no bound if f was ever below it.
    for start, m, sgd in [(0.0, -94.8, -100.0), (-1.0, 3.0, 2.0), (4.0, 3.0, 0.0)]:
        sign, beside = of_losses(m=[start, m], sgd=[start, sgd]).beside("sgd")
        assert (sign, beside) == ("−", {"m": pytest.approx(m - sgd), "sgd": 0.0})
        assert beside["m"] > beside["sgd"]


@pytest.mark.parametrize("reference", [0.0, -2.0, np.nan])
def test_a_ratio_to_what_is_not_above_zero_is_none(reference: float) -> None:
    assert np.isnan(ratio(np.array([-1.0, 0.0, 1.0]), reference)).all()
    np.testing.assert_array_equal(ratio(np.array([-1.0, 0.0, 1.0]), 2.0), [np.nan, 0.0, 0.5])
