"""What the doctor measures: of a run's log, and of an optimizer on fresh problems."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metadescent import zoo
from metadescent.optimizers.partitioned import ByHand
from metadescent.problems.from_function import FromFunction
from metadescent.runs.checkup import (
    SCALES,
    Checkup,
    Examination,
    at_scale,
    best_of,
    count_examined,
    examine,
    measurements,
    read_checkup,
)
from metadescent.runs.recipe import Recipe

RECIPE = Recipe(optimizer="lstm(layers=(4,))")
LINE = {
    "gradient_norms": [1.0, 2.0, 3.0, 4.0],
    "clipped": 0.0,
    "phi_step": 0.003,
    "best_loss": 0.2,
    "training_end": 0.21,
    "validation_end": 0.22,
    "start": 1.0,
    "update_ratio": 0.1,
    "saturated_inputs": 0.0,
    "hidden": 0.4,
    "saturated_hidden": 0.01,
}
EXAMINATION = Examination(
    finite=1.0,
    functions=8,
    rest=np.full((16, 20), 1.0),
    responses=(0.9, 0.8),
    gradient=2.0,
    mine=np.repeat([[0.5, 0.1, 0.09, 0.08]], 16, 0).repeat(10, 1),
)


def test_a_run_that_has_not_logged_is_read(tmp_path: Path) -> None:
    config = {"problem": "quadratic", "recipe": {"optimizer": RECIPE.optimizer}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    checkup = read_checkup(tmp_path)
    assert (checkup.recipe, checkup.metrics, checkup.stopped) == (RECIPE, [], None)
    assert 0.01 < checkup.phi_scale < 1.0


def test_a_folder_without_a_run_is_a_sentence(sentence: Callable, tmp_path: Path) -> None:
    assert sentence(read_checkup, tmp_path) == (
        f"{tmp_path} is not a run folder: its config.json is missing or damaged"
    )


def test_the_best_phi_is_the_files_or_what_the_run_began_with(tmp_path: Path) -> None:
    assert best_of(tmp_path, RECIPE).layers == (4,)
    shutil.copy(zoo.path("mnist-lstm"), tmp_path / "optimizer.safetensors")
    assert best_of(tmp_path, RECIPE).layers == (20, 20)


def square(theta: jax.Array, key: jax.Array) -> jax.Array:
    return theta**2


def one(key: jax.Array) -> jax.Array:
    return jnp.ones(())


def test_an_optimizer_is_run_twice_as_long_as_it_was_trained_for() -> None:
    told: list[str] = []
    examination = examine(
        ByHand(optax.sgd(0.25)),
        FromFunction(square, one),
        Recipe(steps=1, unroll=1),
        baselines=["sgd"],
        num_seeds=1,
        progress=told.append,
    )
    assert (examination.finite, examination.functions) == (1.0, 1)
    assert examination.rest.tolist() == [[1.0]]
    assert examination.mine is not None
    assert examination.mine.tolist() == [[0.25, 0.0625]]
    comparison = examination.comparison
    assert comparison is not None
    rate = comparison.tuned["sgd"].rate
    assert rate == pytest.approx(0.5, rel=0.2)
    np.testing.assert_allclose(comparison.losses["sgd"], [[(1 - 2 * rate) ** 2]], rtol=1e-4)
    # It is behind SGD, so other scales of its steps were tried: 1 − 2 · 0.25 of θ is left of it.
    assert list(examination.rescaled) == list(SCALES)
    for scale, curves in examination.rescaled.items():
        np.testing.assert_allclose(curves, [[(1 - scale / 2) ** 2]], rtol=1e-4)
    assert len(told) == count_examined(["sgd"])
    assert told[:3] == ["did nothing", "looked at the first update", "ran the best φ"]


def test_where_f_is_not_finite_nothing_else_is_measured() -> None:
    broken = FromFunction(lambda theta, key: jnp.nan * theta, one)
    examination = examine(ByHand(optax.sgd(0.25)), broken, Recipe(steps=1, unroll=1), num_seeds=1)
    assert (examination.finite, examination.mine, examination.comparison) == (0.0, None, None)


def test_measurements_are_the_numbers_of_the_last_epoch_and_of_the_examination() -> None:
    log = [LINE, LINE | {"update_ratio": 0.25, "clipped": 0.125}]
    values = dict(measurements(Checkup(RECIPE, log, None, 0.3, EXAMINATION)))
    assert values["meta-gradient norm, by segment"] == "1, 2, 3, 4"
    assert values["meta-gradients above the clip of 20"] == "12.5 %"
    assert values["change of φ a meta-step ÷ size of a fresh φ"] == "0.01"
    assert values["update ÷ gradient"] == "0.25"
    assert values["loss in the last segment, training"] == "0.21"
    assert values["loss at the horizon of 20 steps"] == "0.1"
    assert values["loss after 40 steps"] == "0.08"


def test_what_is_not_known_is_a_dash() -> None:
    assert {value for _, value in measurements(Checkup(RECIPE, [], None, 0.3))} == {"–"}
    unmeasured = Examination(finite=0.5, functions=8, rest=np.full((1, 2), np.nan))
    values = dict(measurements(Checkup(RECIPE, [LINE], None, 0.3, unmeasured)))
    assert values["size of the first gradients"] == "–"
    assert "loss after 40 steps" not in values


def test_of_many_segments_a_few_are_shown() -> None:
    log: list[dict[str, Any]] = [LINE | {"gradient_norms": list(map(float, range(50)))}]
    shown = measurements(Checkup(RECIPE, log, None, 0.3))[0][1]
    assert shown.startswith("0, … ")
    assert shown.endswith(" 49")
    assert len(shown.split(", … ")) == 6


def test_a_scale_is_that_of_the_specification_times_a_factor() -> None:
    assert at_scale("lstm(layers=(4,), scale=3.0)", 0.1) == (
        'try --optimizer "lstm(layers=(4,), scale=0.3)"'
    )
    assert at_scale("lstm", 10.0) == 'try --optimizer "lstm(scale=1.0)"'
    chained = "lstm(layers=(4,)) >> pace"
    assert at_scale(chained, 0.1) == f"multiply the updates of {chained} by 0.1"
