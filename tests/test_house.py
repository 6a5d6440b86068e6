"""The house is as `docs/design.md` draws it: rooms, one-way imports, one idea a file."""

import ast
import re
import runpy
import tomllib
from collections import Counter
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "metadescent"
FILES = sorted(SOURCE.rglob("*.py"))
DESIGN = (ROOT / "docs" / "design.md").read_text()
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][
    0
]["layers"]


def rooms_of_the_map() -> list[str]:
    """The rooms of the map in `docs/design.md`, from the top down; the ground is `_*`."""
    (drawn,) = re.findall(r"^## The map\n(.*?)^## ", DESIGN, re.MULTILINE | re.DOTALL)
    return re.findall(r"^    (\S+)  ", drawn, re.MULTILINE)


def rooms_of_the_layers() -> list[str]:
    """The rooms of the contract that `make lint` checks, from the top down; the ground is `_*`."""
    rooms = [room.strip() for layer in LAYERS for room in re.split(r"[|:]", layer)]
    return list(dict.fromkeys("_*" if room.startswith("_") else room for room in rooms))


def test_the_map_is_what_imports_are_held_to() -> None:
    assert rooms_of_the_map() == rooms_of_the_layers()


def test_the_rooms_of_the_map_are_there_and_no_others() -> None:
    on_disk = {
        path.stem
        for path in SOURCE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.name.startswith("_")
    }
    assert on_disk == set(rooms_of_the_map()) - {"_*"}


@pytest.mark.parametrize(
    "file", re.findall(r"`([\w/]+\.py)`", DESIGN.split("## Where to put what")[0])
)
def test_the_files_that_the_design_names_are_there(file: str) -> None:
    assert (SOURCE / file).is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_is_one_idea(path: Path) -> None:
    """It is no longer than an idea takes, and no function or class bears its name."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    defined = {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert path.stem not in defined


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_text_is_read_and_written_in_an_encoding_that_is_named(path: Path) -> None:
    """The system's own may be ASCII. Ruff's PLW1514 knows of it where a variable's kind is told."""
    calls = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]
    for call in calls:
        name = ast.unparse(call.func).rpartition(".")[2]
        named = {word.arg: ast.unparse(word.value) for word in call.keywords}
        opened = ast.unparse(call.func) == "open" and "b" not in ast.unparse(call.args[-1])
        text = name in ("read_text", "write_text", "TextIOWrapper") or named.get("text") == "True"
        assert not (text or opened) or "encoding" in named, f"line {call.lineno}"


def test_a_name_stands_for_one_thing() -> None:
    nodes = [node for path in FILES for node in ast.parse(path.read_text("utf-8")).body]
    names = Counter(
        node.name
        for node in nodes
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    )
    # An optimizer is loaded from the zoo or of one's own, and learned in both frameworks.
    assert {name for name, count in names.items() if count > 1} == {
        *("LearnedOptimizer", "html", "load")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_variable_is_the_noun_of_its_thing(path: Path) -> None:
    names = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if is_name(node)}
    assert not names & {"found", "here", "tmp", "obj"}


def is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    """Whether a node gives a variable its value."""
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def test_the_core_files_of_the_mutants_and_their_tests_are_there() -> None:
    tests = runpy.run_path(str(ROOT / "tools" / "mutants.py"))["TESTS"]
    for name, files in tests.items():
        assert (SOURCE / f"{name}.py").is_file()
        assert all((ROOT / "tests" / file).is_file() for file in files)
