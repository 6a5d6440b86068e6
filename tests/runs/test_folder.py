"""A run's folder: what lies in it says which run it is, and whether it may be had."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from metadescent.runs.folder import check_folder, check_free, claim, differences, read_config
from metadescent.runs.recipe import Recipe


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
    claim(tmp_path, "mnist", Recipe(), resume=False)
    assert not half.exists()
    assert read_config(tmp_path) == {"problem": "mnist", "recipe": asdict(Recipe())}
    claim(tmp_path, "mnist", Recipe(), resume=True)
    check_folder(tmp_path, "mnist", Recipe(), resume=True)
    assert sentence(check_folder, tmp_path, "quadratic", Recipe(), resume=True) == (
        f"{tmp_path} belongs to another configuration: its problem is 'mnist' and 'quadratic' was "
        "asked for; repeat the run's own flags or choose another folder"
    )
    assert sentence(claim, tmp_path, "mnist", Recipe(epochs=3), resume=True) == (
        f"{tmp_path} belongs to another configuration: its epochs is 100 and 3 was asked for; "
        "repeat the run's own flags or choose another folder"
    )


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


def test_what_differs_is_named_with_both_values() -> None:
    config = {"problem": "mnist", "recipe": {"epochs": 3}}
    assert differences(config, "mnist", Recipe(epochs=3)) == []
    assert differences(config, "cifar10", Recipe(epochs=4, meta_rate=0.5)) == [
        ("problem", "mnist", "cifar10"),
        ("epochs", 3, 4),
        ("meta_rate", 0.003, 0.5),
    ]
