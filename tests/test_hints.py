"""What a sentence advises is there: its flags, its commands and its names."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import metadescent
from metadescent.cli.command import attributed, commands, flags

SOURCE = Path(metadescent.__file__).parent
KNOWN = commands()
FLAGS = {flag for kind in KNOWN.values() for flag in flags(kind)} | {"--help", "--debug"}
# Those that are of other programs.
OTHERS = {
    "--version",
    "--xla_backend_optimization_level",
    "--xla_force_host_platform_device_count",
}


def sentences(path: Path) -> list[str]:
    """The texts of a file that are said: of several words, values as {}, and no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    said = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            said.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and id(node) not in silent | inside:
            said.append(str(node.value))
    return [text for text in said if " " in text.strip()]


SAID = {path: texts for path in sorted(SOURCE.rglob("*.py")) if (texts := sentences(path))}


def is_there(name: str) -> bool:
    """Whether a reader finds what has this name: rooms, and what they show."""
    room, *steps = name.split(".")
    while steps and (SOURCE.parent / room.replace(".", "/") / steps[0]).is_dir():
        room = f"{room}.{steps.pop(0)}"
    # A room is there without being imported, which takes long.
    thing = importlib.import_module(room if steps else "metadescent")
    for step in steps:
        # What an import elsewhere has put there is not shown.
        if step not in dir(thing):
            return False
        thing = getattr(thing, step)
    return True


def test_a_name_is_there_if_a_reader_finds_it() -> None:
    importlib.import_module("metadescent.descent.unrolling")
    assert is_there("metadescent.descent.start")
    assert is_there("metadescent.FromFunction")
    assert not is_there("metadescent.descent.unrolling.start")
    assert not is_there("metadescent.unroll.start")


@pytest.mark.parametrize("path", SAID, ids=lambda path: str(path.relative_to(SOURCE)))
def test_flags_commands_and_names_that_are_advised_are_there(path: Path) -> None:
    for text in SAID[path]:
        # Those of a style sheet are no flags.
        if "<style>" in text:
            continue
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z_-]+", text):
            assert flag in FLAGS | OTHERS or flag.endswith("-"), text
        for command in re.findall(r"\bmetadescent ([a-z]+(?:-[a-z]+)*)\b(?! of\b)", text):
            if re.search(rf"(run|try|by|with|    )\s*metadescent {command}", text):
                assert command in KNOWN, text
        for name in re.findall(r"\bmetadescent(?:\.\w+)+", text):
            assert is_there(name), text


def test_advice_says_whose_flags_it_names() -> None:
    text = "try --memory-budget 2GiB or --seeds 3"
    assert attributed(text, "train") == text
    assert attributed(text, "demo") == f"{text} (of metadescent train: --memory-budget)"
    assert attributed(text, "list") == f"{text} (of metadescent train: --memory-budget, --seeds)"
    assert attributed("there is no baseline '--else'", "list") == "there is no baseline '--else'"
