"""A recipe as a table of choices, and as JSON has it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from metadescent.runs.recipe import Recipe, recipe_from


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
    ("wrong", "said"),
    [
        ({"problems": 0}, "problems is 0 and must be at least 1"),
        ({"seed": 2**32}, "seed is 4294967296 and must be from 0 to 4.29497e+09"),
        ({"meta_rate": float("nan")}, "meta_rate is nan and must be from 0 to 1000"),
        ({"clip": 0.0}, "clip is 0.0 and must be at least 1e-12"),
    ],
    ids=str,
)
def test_numbers_that_mean_nothing_are_refused(
    wrong: dict[str, Any], said: str, sentence: Callable
) -> None:
    assert sentence(Recipe, **wrong) == said
