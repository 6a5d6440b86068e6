"""Every page keeps its word: its code runs, its commands parse, its links lead somewhere."""

import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metadescent import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
# Tests of their own run the code of these, and look at what comes of it.
ELSEWHERE = {"pytorch.md", "stacks.md", "your-own-problem.md", "zoo.md"}
LONG = {"paper.md", "tutorial.md"}  # they meta-train


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)


def run(page: str) -> Iterator[dict[str, Any]]:
    """The names that there are after each block of a page, which run one after the other."""
    names: dict[str, Any] = {"__name__": "page"}
    for number, code in enumerate(blocks(page)):
        for package in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed")
        exec(compile(code, f"docs/{page}, block {number}", "exec"), names)
        yield names


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow) if page in LONG else page
        for page in PAGES
        if blocks(page) and page not in {*ELSEWHERE, "jax.md", "choosing.md"}
    ],
)
def test_its_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(list(run(page))) == len(blocks(page))


@pytest.mark.slow
def test_a_model_of_flax_and_one_of_equinox_learn() -> None:
    flax, equinox, wrapped = (dict(names) for names in run("jax.md"))
    assert 0 < float(flax["loss"]) < 0.5  # log 10 = 2.3 at first
    assert 0 < float(equinox["loss"]) < 0.5
    assert float(abs(wrapped["theta"]["frozen"] - 1).max()) == 0
    assert float(abs(wrapped["theta"]["w"] - 1).max()) > 0


@pytest.mark.slow
def test_the_line_that_was_changed_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """At step 100 the first model's loss is below Adam's at its default rate."""
    page = PAGES["jax.md"]
    line = 'tx = metadescent.load("general", steps=100).as_optax()'
    assert line in blocks("jax.md")[0]
    learned = float(next(run("jax.md"))["loss"])
    monkeypatch.setitem(PAGES, "jax.md", page.replace(line, "tx = optax.adam(1e-3)"))
    assert learned < float(next(run("jax.md"))["loss"])


@pytest.mark.slow
def test_the_sizes_of_states_are_those_that_are_said() -> None:
    (names,) = run("choosing.md")
    for kind, size in names["sizes"].items():
        row = rf"^\| `{kind}` \|[^|]*\| (\d+)( more)?"
        ((said, more),) = re.findall(row, PAGES["choosing.md"], re.MULTILINE)
        assert size == int(said) + (names["sizes"]["lstm"] if more else 0)


def test_the_rule_of_one_s_own_trains_by_its_command(metadescent: Callable) -> None:
    page = "your-own-optimizer.md"
    Path("my_rule.py").write_text(blocks(page)[0], encoding="utf-8")
    (command,) = (command for name, command in COMMANDS if name == page and "my_rule" in command)
    short = "--steps 4 --unroll 2 --problems 2 --epochs 1 --episodes 2 --validation-problems 2"
    status, _, said = metadescent(*shlex.split(command)[1:], *short.split())
    assert status == 0, said
    assert Path("runs", "momentum", "optimizer.safetensors").is_file()


# What a table claims is also on the page that it points to.
CLAIMS = [
    line.strip("|").split("|") for line in PAGES["reproducing.md"].splitlines() if "](" in line
]


@pytest.mark.parametrize(
    "cells", [cells for cells in CLAIMS if len(cells) == 6], ids=lambda c: c[0]
)
def test_figures_of_claims_are_those_of_their_pages(cells: list[str]) -> None:
    _, _, learned, reference, _, more = cells
    (page,) = re.findall(r"\]\(([^)#]+)", more)
    numbers = re.findall(r"\d+\.\d+", f"{learned} {reference}")
    assert all(number in PAGES[page] for number in numbers)


# A command is a line of its own, where two spaces end it, or stands between backticks; a backslash
# goes on with it, and a variable is one that the page sets.
_COMMAND = re.compile(r"^ {4}(metadescent [a-z].*?)(?: {2}.*)?$|`(metadescent [a-z][^`]*)`", re.M)
_VARIABLE = re.compile(r"^ {4}([A-Z]+)='(.*)'$", re.M)


def _commands(text: str) -> set[str]:
    """Return the commands of a page."""
    for name, value in _VARIABLE.findall(text):
        text = text.replace(f"${name}", value)
    found = _COMMAND.findall(re.sub(r"\\\n +", "", text))
    return {" ".join((line or inline).split()) for line, inline in found}


COMMANDS = sorted({(page, command) for page, text in PAGES.items() for command in _commands(text)})
# Words that stand for what a reader puts in their place.
_PLACEHOLDER = re.compile(r"…|(?<!\w)(?:[A-Z]{2,}|N)(?!\w)")


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_its_commands_parse(page: str, command: str) -> None:
    words = shlex.split(command, comments=True)[1:]
    named_only = len(words) == 1 or words[1].startswith("--")
    if not (named_only or _PLACEHOLDER.search(command)):
        assert cli._parse(words)
        return
    with pytest.raises(SystemExit) as stop:
        cli._parse([words[0], "--help"])
    assert stop.value.code == 0


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    """Sphinx looks after anchors."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[page])
    assert all((DOCS / target).exists() for target in targets)


def test_the_citation_is_of_this_version() -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [version]
    assert f"version = {{{version}}}" in PAGES["citation.md"]
    for name in re.findall(r"family-names: (.+)", citation):
        assert name.replace("ó", "{\\'o}") in PAGES["citation.md"]


def test_every_page_is_in_one_group_of_the_table_of_contents() -> None:
    groups = dict(re.findall(r"^## (\w+)\n\n((?:- .+\n)+)", PAGES["index.md"], re.MULTILINE))
    assert list(groups) == ["Use", "Learn", "Reproduce", "Extend", "Inside"]
    listed = re.findall(r"\((.+)\.md\)", "".join(groups.values()))
    assert sorted(listed) == sorted(Path(page).stem for page in PAGES if page != "index.md")
