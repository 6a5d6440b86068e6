"""A run's folder: what lies in it says which run it is, and whether it may be had."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from metadescent._files import HOST
from metadescent.runs.folder import (
    check_folder,
    check_free,
    check_kept,
    claim,
    differences,
    read_config,
)
from metadescent.runs.recipe import Recipe

ORIGIN = {"folder": str(Path.cwd())}


def test_a_folder_with_a_run_is_free_to_go_on_with_it_only(
    tmp_path: Path, sentence: Callable
) -> None:
    check_free(tmp_path, resume=False)
    (tmp_path / "config.json").write_text("{}")
    check_free(tmp_path, resume=True)
    assert sentence(check_free, tmp_path, resume=False) == (
        f"{tmp_path} already holds a run; go on with it by metadescent train --resume {tmp_path} "
        "or choose another folder"
    )


def test_a_file_is_not_a_place_for_a_run(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "run").touch()
    assert sentence(check_free, tmp_path / "run", resume=True) == (
        f"{tmp_path / 'run'} is a file and a run is a folder; choose another place"
    )


def test_a_folder_is_claimed_once_and_for_one_configuration(
    tmp_path: Path, sentence: Callable
) -> None:
    claim(tmp_path, "mnist", Recipe(), False, ORIGIN)
    assert read_config(tmp_path) == {
        "problem": "mnist",
        "recipe": asdict(Recipe()),
        "origin": ORIGIN,
    }
    claim(tmp_path, "mnist", Recipe(), True, {})
    check_folder(tmp_path, "mnist", Recipe(), resume=True)
    assert sentence(check_folder, tmp_path, "quadratic", Recipe(), resume=True) == (
        f"{tmp_path} belongs to another configuration: its problem is 'mnist' and 'quadratic' was "
        f"asked for; metadescent train --resume {tmp_path} goes on as it was begun, or choose "
        "another folder"
    )
    assert sentence(claim, tmp_path, "mnist", Recipe(epochs=3), True, {}) == (
        f"{tmp_path} belongs to another configuration: its epochs is 100 and 3 was asked for; "
        f"metadescent train --resume {tmp_path} goes on as it was begun, or choose another folder"
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


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    return int(subprocess.check_output([sys.executable, "-c", "import os; print(os.getpid())"]))


def test_what_a_killed_run_left_half_is_removed_and_nothing_of_anyone_else(
    tmp_path: Path, dead: int
) -> None:
    names = ["config.json", "metrics.jsonl", "checkpoints/epoch-000001.safetensors"]
    hidden = [Path(name).with_name(f".{Path(name).name}") for name in names]
    own = [f"{path}.{HOST}.{dead}.tmp" for path in hidden]
    own += [f"{hidden[0]}.{dead}.tmp", f"{hidden[0]}.{HOST}.{os.getpid()}.tmp"]
    others = [
        ".notes.tmp",
        f".thesis.tex.{HOST}.{dead}.tmp",  # of another program, or another file
        f"{hidden[0]}.{HOST}.{os.getppid()}.tmp",  # its writer lives
        f"{hidden[0]}.another-{HOST}.{dead}.tmp",  # on another host
        f"nested/{hidden[0]}.{HOST}.{dead}.tmp",
        f"nested/{hidden[2]}.{HOST}.{dead}.tmp",
        f"checkpoints/{hidden[0]}.{HOST}.{dead}.tmp",
        f"checkpoints/.epoch-best.safetensors.{HOST}.{dead}.tmp",
        "search/.x.tmp",
    ]
    for name in own + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / f".stopped.json.{HOST}.{dead}.tmp").symlink_to(tmp_path / ".notes.tmp")
    claim(tmp_path, "mnist", Recipe(), False, ORIGIN)
    assert [name for name in own if (tmp_path / name).exists()] == []
    assert [name for name in others if not (tmp_path / name).exists()] == []


@pytest.mark.parametrize(
    "name",
    ["optimizer.safetensors", "metrics.jsonl", "checkpoints/epoch-000007.safetensors"],
)
@pytest.mark.parametrize("resume", [False, True])
def test_what_no_configuration_speaks_of_is_another_s(
    tmp_path: Path, name: str, resume: bool, sentence: Callable
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious", encoding="utf-8")
    said = (
        f"{tmp_path} holds {name}, and no config.json says of which run it is; move it or choose "
        "another folder"
    )
    assert sentence(check_free, tmp_path, resume) == said
    assert sentence(claim, tmp_path, "mnist", Recipe(), resume, ORIGIN) == said
    assert (tmp_path / name).read_text(encoding="utf-8") == "precious"


def test_the_optimizer_of_several_runs_is_replaced_by_them_alone(
    tmp_path: Path, sentence: Callable
) -> None:
    members = [tmp_path / "seed-0", tmp_path / "seed-1"]
    check_kept(tmp_path, members, resume=False)
    (tmp_path / "optimizer.safetensors").touch()
    for resume in (False, True):
        assert "and no config.json says" in sentence(check_kept, tmp_path, members, resume)
    members[0].mkdir()
    (members[0] / "config.json").write_text("{}", encoding="utf-8")
    check_kept(tmp_path, members, resume=True)
    assert "seed-0 already holds a run" in sentence(check_kept, tmp_path, members, False)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert "already holds a run" in sentence(check_kept, tmp_path, members, True)


def test_a_pipe_in_the_place_of_the_configuration_is_not_waited_for(
    tmp_path: Path, sentence: Callable
) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert "its config.json is missing or damaged" in sentence(read_config, tmp_path)
