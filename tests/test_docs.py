"""Every page keeps its word: its code runs, its commands parse, its links lead somewhere."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from metadescent import cli

DOCS = Path(__file__).parent.parent / "docs"
PAGES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
# Tests of their own run the code of these, and look at what came of it.
TESTED = {"pytorch.md", "your-own-problem.md"}
COMMAND = re.compile(
    r"^    (?:\$ )?(metadescent [a-z].*?)(?:  +\S.*)?$|`(metadescent [a-z][^`]*)`", re.M
)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    return [first or second for first, second in COMMAND.findall(PAGES[page])]
