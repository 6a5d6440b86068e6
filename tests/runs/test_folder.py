"""A run's folder: what lies in it says which run it is, and whether it may be had."""

from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from metadescent.runs.folder import check_folder, check_free, claim, differences, read_config
from metadescent.runs.recipe import Recipe

ORIGIN = {"folder": str(Path.cwd())}


def test_a_folder_with_a_run_is_free_to_go_on_with_it_only(
    tmp_path: Path, sentence: Callable
) -> None:
    check_free(tmp_path, resume=False)
    (tmp_path / "config.json").write_text("{}")
    check_free(tmp_path, resume=True)
    assert sentence(check_free, tmp_path, resume=False) == (
        f"{tmp_path} already holds a run; go on with it by --resume or choose another folder"
    )


def test_a_file_is_not_a_place_for_a_run(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "run").touch()
    assert sentence(check_free, tmp_path / "run", resume=True) == (
        f"{tmp_path / 'run'} is a file and a run is a folder; choose another place"
    )


def test_a_folder_is_claimed_once_and_for_one_configuration(
    tmp_path: Path, sentence: Callable
) -> None:
    (tmp_path / "checkpoints").mkdir()
    half = tmp_path / "checkpoints" / ".epoch-000001.safetensors.7.tmp"
    half.touch()
    claim(tmp_path, "mnist", Recipe(), False, ORIGIN)
    assert not half.exists()
    assert read_config(tmp_path) == {
        "problem": "mnist",
        "recipe": asdict(Recipe()),
        "origin": ORIGIN,
    }
    claim(tmp_path, "mnist", Recipe(), True, {})
    check_folder(tmp_path, "mnist", Recipe(), resume=True)
    assert sentence(check_folder, tmp_path, "quadratic", Recipe(), resume=True) == (
        f"{tmp_path} belongs to another configuration: its problem is 'mnist' and 'quadratic' was "
        "asked for; repeat the run's own flags or choose another folder"
    )
    assert sentence(claim, tmp_path, "mnist", Recipe(epochs=3), True, {}) == (
        f"{tmp_path} belongs to another configuration: its epochs is 100 and 3 was asked for; "
        "repeat the run's own flags or choose another folder"
    )


ORIGINS = ("3", "[]", '{"folder": 3}', '{"settings": 3}', '{"versions": []}')


@pytest.mark.parametrize(
    "text",
    ["[]", "3", '{"problem": 3, "recipe": {}}', '{"problem": "x", "recipe": []}', "{}"]
    + [f'{{"problem": "x", "recipe": {{}}, "origin": {x}}}' for x in ORIGINS],
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
    ("begun", "asked"),
    [
        ({}, {}),
        ({"problem": "f.py:f"}, {"problem": "./f.py:f"}),
        ({"problem": "f.py:f"}, {"problem": "{begun}/f.py:f()"}),
        ({"problem": "f.py:f"}, {"problem": "{copy}/f.py:f"}),
        ({"problem": "f.py:f(a=1, b=[2])"}, {"problem": "f.py:f( b=(2,),a=1 )"}),
        ({"problem": "f.py:f + mnist"}, {"problem": "../begun/f.py:f + mnist"}),
        ({"optimizer": "* -> f.py:f"}, {"optimizer": "* -> {begun}/f.py:f"}),
        ({"estimator": "f.py:f"}, {"estimator": "{begun}/f.py:f"}),
        ({"init": "r"}, {"init": "{begun}/r"}),
    ],
)
def test_what_is_named_counts_and_not_how(
    begun: dict[str, str], asked: dict[str, str], tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in ("begun", "copy")}
    for folder in folders.values():
        (folder / "r").mkdir(parents=True)
        (folder / "f.py").write_text("f = 3")

    def choices(named: dict[str, str]) -> tuple[str, Recipe]:
        named = {name: value.replace("{", "%(").replace("}", ")s") for name, value in named.items()}
        named = {name: value % folders for name, value in named.items()}
        return named.pop("problem", "f.py:f"), replace(Recipe(), **named)

    problem, recipe = choices(begun)
    config = {
        "problem": problem,
        "recipe": asdict(recipe),
        "origin": {"folder": str(folders["begun"])},
    }
    with chdir(folders["begun"]):
        assert differences(config, *choices(asked)) == []
    if asked and "copy" not in str(asked):
        (folders["copy"] / "f.py").write_text("f = 4")
        other = {name: value.replace("begun", "copy") for name, value in asked.items()}
        with chdir(folders["copy"]):
            assert len(differences(config, *choices(other))) == 1


def test_what_differs_is_named_with_both_values() -> None:
    config = {"problem": "mnist", "recipe": {"epochs": 3}}
    assert differences(config, "mnist", Recipe(epochs=3)) == []
    assert differences(config, "cifar10", Recipe(epochs=4, meta_rate=0.5)) == [
        ("problem", "mnist", "cifar10"),
        ("epochs", 3, 4),
        ("meta_rate", 0.003, 0.5),
    ]
