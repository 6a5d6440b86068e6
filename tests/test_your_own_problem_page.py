"""The page on one's own problem keeps its word: code runs, commands parse, files are there."""

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import metadescent.runs.choice.learning
from metadescent import cli
from metadescent.runs.choice.learning import Learned

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "your-own-problem.md").read_text()
COMMANDS = re.findall(r"^    (metadescent .+)$", PAGE, re.MULTILINE)


def test_the_code_makes_a_family_of_lines_and_learns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def learn(problem: Any, *, minutes: float) -> Learned:
        # What takes ten minutes is only asked for as it may be.
        inspect.signature(metadescent.runs.choice.learning.learn).bind(problem, minutes=minutes)
        asked.append(problem)
        return Learned(*[None] * len(Learned._fields))  # pyright: ignore

    monkeypatch.setattr(metadescent, "learn", learn, raising=False)
    code = "".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "docs/your-own-problem.md", "exec"), names)
    assert asked == [names["lines"]]
    f = names["lines"].sample(jax.random.key(0))
    x, y = np.asarray(f.data["x"]), np.asarray(f.data["y"])
    theta = f.init(jax.random.key(1))
    offset, slope = np.asarray(theta)
    expected = np.mean((offset + slope * x - y) ** 2)
    np.testing.assert_allclose(f.loss(theta, jax.random.key(2)), expected, rtol=1e-5)


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_parse(command: str) -> None:
    assert cli._parse(shlex.split(command)[1:])


FILES = re.findall(r"\[examples/[^]]+\]\(([^)]+)\)", PAGE)


def test_there_are_files() -> None:
    assert len(FILES) == 4


@pytest.mark.parametrize("path", FILES)
def test_the_files_that_it_shows_are_there(path: str) -> None:
    assert (DOCS / path).is_file()
