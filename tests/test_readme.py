"""The README keeps its word: its code runs, its commands parse, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from metadescent import cli, zoo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every line `metadescent …`, in a block or between backticks."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    inline = re.findall(r"`(metadescent [a-z][^`]*)`", README)
    return [text for text in (*lines, *inline) if text.startswith("metadescent ")]


def test_there_is_code_and_there_are_commands() -> None:
    assert blocks("python")
    assert commands()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_code_runs(number: int) -> None:
    code = blocks("python")[number]
    missing = set(re.findall(r'load\("([^"/]+)"\)', code)) - set(zoo.names())
    if missing:
        pytest.skip(f"not pretrained yet: {', '.join(missing)}")
    exec(compile(code, f"README.md, block {number}", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("command", commands())
def test_the_commands_parse(command: str) -> None:
    assert cli._parse(shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z]+)\b", README))))
def test_make_has_the_targets(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_the_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
