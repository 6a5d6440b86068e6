"""What a run's folder says of it: what is not what it should be is named, in one sentence."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from metadescent.runs.log import differences, read_config, read_metrics, read_stopped, recipe_from
from metadescent.runs.recipe import Recipe

LINE = {
    "epoch": 1,
    "meta_loss": 2.0,
    "gradient_norm": 1,
    "gradient_norms": [1.0, 0.5],
    "validation_loss": float("inf"),
    "best_loss": float("nan"),
    "hidden": None,
    "seconds": 0.5,
}


def test_what_is_well_is_returned(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"problem": "mnist", "recipe": {"epochs": 3}}))
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(LINE)}\n" * 2)
    (tmp_path / "stopped.json").write_text('{"epoch": 2, "meta_step": 5}')
    assert read_config(tmp_path) == {"problem": "mnist", "recipe": {"epochs": 3}}
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1, 1]
    assert read_stopped(tmp_path) == {"epoch": 2, "meta_step": 5}


def test_what_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []
    assert read_stopped(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"problem": 3, "recipe": {}}', '{"problem": "x", "recipe": []}', "{}"]
)
def test_a_configuration_of_another_form_is_refused(
    tmp_path: Path, text: str, sentence: Callable
) -> None:
    (tmp_path / "config.json").write_text(text)
    assert sentence(read_config, tmp_path) == (
        f"{tmp_path / 'config.json'} does not say what the run is: a name as problem and a table "
        "as recipe are expected; restore it or begin in another folder"
    )


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_configuration_is_refused(
    tmp_path: Path, text: bytes, sentence: Callable
) -> None:
    (tmp_path / "config.json").write_bytes(text)
    assert sentence(read_config, tmp_path) == (
        f"{tmp_path} is not a run folder: its config.json is missing or damaged"
    )


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("epochs", "3", "int"),
        ("epochs", 3.5, "int"),
        ("epochs", True, "int"),
        ("meta_rate", "fast", "float"),
        ("meta_rate", 10**400, "float"),
        ("second_derivatives", 1, "bool"),
        ("optimizer", None, "str"),
        ("decay", "linear", "'cosine' or 'constant'"),
    ],
)
def test_a_choice_of_another_kind_is_named(
    name: str, value: Any, wanted: str, sentence: Callable
) -> None:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
    assert sentence(recipe_from, {name: value}, "config.json") == (
        f"{name} in config.json is {shown} where {wanted} is expected; restore the file or begin "
        "in another folder"
    )


def test_a_choice_that_no_recipe_has_is_named(sentence: Callable) -> None:
    assert sentence(recipe_from, {"colour": 1}, "config.json") == (
        "config.json has a choice 'colour' that no recipe has; try a newer metadescent"
    )


def test_a_recipe_comes_back_from_json() -> None:
    recipe = Recipe(epochs=3, meta_rate=1.0, seed=2**32 - 1)
    assert recipe_from(json.loads(json.dumps(asdict(recipe))), "x") == recipe
    assert recipe_from({"epochs": 3, "meta_rate": 1, "seed": 2**32 - 1}, "x") == recipe
    assert recipe_from({}, "x") == Recipe()


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": None},
        {"epoch": 1.5},
        {"seconds": "1"},
        {"best_loss": [1.0]},
        {"gradient_norms": 3.0},
        {"gradient_norms": ["1"]},
        {"anything": {}},
        {"meta_loss": 10**400},
    ],
)
def test_a_damaged_line_is_named(
    tmp_path: Path, change: dict[str, Any], sentence: Callable
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n{json.dumps(LINE | change)}\n")
    assert sentence(read_metrics, tmp_path) == (
        f"line 2 of {path} is damaged: the numbers of an epoch are expected; remove it and all "
        "after it to read the rest, or restore the file"
    )


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"epoch": "x", "meta_step": 1}'])
def test_a_damaged_note_of_where_it_stopped_is_named(
    tmp_path: Path, text: str, sentence: Callable
) -> None:
    (tmp_path / "stopped.json").write_text(text)
    assert sentence(read_stopped, tmp_path) == (
        f"{tmp_path / 'stopped.json'} is damaged: whole numbers as epoch and meta_step are "
        "expected; remove it"
    )


def test_what_differs_is_named_with_both_values() -> None:
    config = {"problem": "mnist", "recipe": {"epochs": 3}}
    assert differences(config, "mnist", Recipe(epochs=3)) == []
    assert differences(config, "cifar10", Recipe(epochs=4, meta_rate=0.5)) == [
        ("problem", "mnist", "cifar10"),
        ("epochs", 3, 4),
        ("meta_rate", 0.003, 0.5),
    ]
