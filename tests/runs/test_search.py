"""Random search: trials that depend on the seed alone, each run once."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent.problems.from_function import FromFunction
from metadescent.problems.quadratic import Quadratic
from metadescent.runs.log import read_metrics
from metadescent.runs.recipe import Recipe
from metadescent.runs.search import trials, validate_trial

RECIPE = Recipe(
    optimizer="lstm(layers=(2,), p=None, scale=1.0)",
    steps=4,
    unroll=2,
    problems=2,
    epochs=4,
    episodes=2,
    meta_rate=0.03,
    average=0.5,
    validation_problems=2,
)


def test_trials_draw_their_meta_rates_from_the_seed_alone() -> None:
    first, again = (trials(Recipe(epochs=50, seed=3), 8) for _ in range(2))
    assert first == again
    rates = [trial.meta_rate for trial in first]
    assert len(set(rates)) == 8
    assert all(1e-4 <= rate <= 3e-2 for rate in rates)
    # A fifth of the epochs, and nothing else is changed.
    assert [replace(trial, meta_rate=3e-3, epochs=50) for trial in first] == 8 * [
        Recipe(epochs=50, seed=3)
    ]
    assert {trial.epochs for trial in first} == {10}
    assert [trial.meta_rate for trial in trials(Recipe(seed=4), 8)] != rates
    # More trials only add to the first: a search that is made longer goes on.
    assert trials(Recipe(epochs=50, seed=3), 9)[:8] == first


def test_meta_rates_are_drawn_log_uniformly() -> None:
    rates = np.log10([trial.meta_rate for trial in trials(Recipe(), 1000)])
    places = (rates + 4.0) / (np.log10(3e-2) + 4.0)
    np.testing.assert_allclose(np.quantile(places, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.05)


@pytest.fixture
def finished(trained: Callable, tmp_path: Path) -> Path:
    return shutil.copytree(trained(RECIPE)[0], tmp_path / "finished")


def test_a_trial_gone_over_again_costs_nothing(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["metadescent.meta.epoch"], "_train_epoch", None)
    loss = validate_trial(finished, Quadratic(dimension=2), "quadratic(dimension=2)", RECIPE)
    assert loss == min(line["validation_loss"] for line in read_metrics(finished))


def test_a_trial_that_is_not_finite_is_infinitely_bad(tmp_path: Path) -> None:
    broken = FromFunction(
        lambda theta, key: jnp.nan * jnp.sum(theta), lambda key: jax.random.normal(key, (2,))
    )
    recipe = replace(RECIPE, optimizer="lstm(layers=(), p=None)", epochs=1, average=0.0)
    assert validate_trial(tmp_path, broken, "x", recipe) == float("inf")
