"""`list`: everything that can be named."""

import re
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import jax
import pytest

from metadescent import zoo
from metadescent.descent.baselines import BASELINES
from metadescent.figures.paper import experiments
from metadescent.registry import optimizers, problems
from metadescent.runs.recipe import Recipe
from metadescent.zoo import cards, catalogue

CARD = """# theirs

For quadratics.

| | |
|---|---|
| licence | Apache-2.0 |
| made again by | `metadescent train quadratic --epochs 2` |

## On 7 fresh problems, 4 steps

| | rate | final loss | 95 % | last tenth | sum |
|---|---|---|---|---|---|
| theirs | learned | 0.5 | 0.4 – 0.6 | 0.7 | 9.0 |
| sgd | 0.1 | 2.5 | 2.4 – 2.6 | 2.7 | 19.0 |
| adam | 0.1 | 1.5 | 1.4 – 1.6 | 1.7 | 29.0 |
"""


def names_in(out: str) -> set[str]:
    """The names of all groups, as they are printed in any width."""
    return {
        word.rstrip("*") for word in re.sub(r"^\S+ \(.*?\):", "", out, flags=re.M | re.S).split()
    }


@pytest.mark.parametrize("columns", ["", "20", "40", "60", "80", "120"])
def test_list_names_everything_that_can_be_named_and_breaks_no_name(
    columns: str, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, out, _ = metadescent("list")
    assert status == 0
    known = {*problems(), *optimizers(), *zoo.names(), *BASELINES, *experiments()}
    assert known <= names_in(out)
    if columns:
        *lines, _, _ = out.splitlines()
        room = max(int(columns), 28)
        assert max(map(len, lines)) <= room
    else:
        # From a pipe, a name a line.
        lines = {line.strip().rstrip("*") for line in out.splitlines()}
        assert known <= lines
    assert columns != "80" or len(out.splitlines()) <= 22


def test_losers_are_marked_wherever_they_are_named(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    behind = set()
    for name in zoo.names():
        rows = cards.tables(zoo.card(name))[1][1:]
        mine, *others = [float(row[2]) for row in rows if row[2] != cards.DIVERGED]
        behind |= {name} if mine >= min(others) else set()
    assert behind
    _, out, _ = metadescent("list")
    assert set(re.findall(r"^  (\S+)\*$", out, re.MULTILINE)) == behind
    _, out, _ = metadescent("list", "zoo")
    assert {line.split()[0] for line in out.splitlines() if " Behind " in line} == behind
    rows = [line for line in cards.all_cards().splitlines() if line.startswith("| [")]
    assert {row[3 : row.index("]")].strip("`") for row in rows if ", behind |" in row} == behind
    (name, *_) = behind
    assert re.search(r"^verdict +Behind ", metadescent("list", name)[1], re.MULTILINE)


@pytest.mark.parametrize("columns", ["40", "60", "80", "120"])
@pytest.mark.parametrize(
    "group", ["problems", "optimizers", "zoo", "hand-designed", "estimators", "figures"]
)
def test_a_group_is_a_line_on_each_of_its_names(
    columns: str, group: str, metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, everything, _ = metadescent("list")
    status, out, _ = metadescent("list", group)
    assert status == 0
    lines = out.splitlines()
    assert {line.split()[0] for line in lines} <= names_in(everything)
    assert all(len(line.split()) > 1 for line in lines)
    assert columns == "40" or max(map(len, lines)) <= int(columns)
    # A loss is not shown without the loss that it is compared with.
    assert not re.search(r" (Ahead of|Behind) \w+, [\d.e-]+( against)? …", out)


def test_there_is_something_to_say_of_every_name(metadescent: Callable) -> None:
    for name in ("mnist", "cifar2", "lstm", "pace", "mnist-gac", "lbfgs", "pes", "figure9-vgg19"):
        status, out, _ = metadescent("list", name)
        assert status == 0
        facts = dict(re.split(r"  +| (?=\S)", line, maxsplit=1) for line in out.splitlines())
        assert facts["name"] == name
        assert "what" in out.split()
        assert re.search(r"  +metadescent (train|evaluate|tune|reproduce) ", out)
    options = metadescent("list", "quadratic(dimension=20)")[1]
    assert re.search(r"^options +dimension=10$", options, re.MULTILINE)


def test_a_command_in_several_lines_is_one_command_to_a_shell(
    metadescent: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = metadescent("list", "tailored")
    assert max(map(len, out.splitlines())) <= 60
    (command,) = re.findall(r"^train one +(metadescent (?:.*\\\n)*.*)", out, re.MULTILINE)
    words = shlex.split(command.replace("\\\n", ""))
    assert words == ["metadescent", "train", "quadratic", "--optimizer", "tailored"]


def test_a_name_that_nothing_has_is_refused(metadescent: Callable) -> None:
    assert metadescent("list", "quadratc") == (
        2,
        "",
        "metadescent: nothing is named 'quadratc'; did you mean 'quadratic'?\n",
    )


def test_the_facts_of_a_pretrained_optimizer_are_those_of_its_card(
    save: Callable,
    tiny: dict,
    metadescent: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = save(
        tmp_path / "zoo" / "theirs.safetensors",
        trained_on="quadratic",
        recipe=asdict(Recipe(**tiny)),
        test={"seeds": 7},
    )
    path.with_suffix(".md").write_text(CARD)
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "zoo")
    status, out, _ = metadescent("list", "theirs")
    assert status == 0
    count = sum(leaf.size for leaf in jax.tree.leaves(zoo.load("theirs")))
    assert [line.rstrip() for line in out.splitlines()] == [
        "name          theirs",
        "group         zoo",
        "what it is    For quadratics.",
        "optimizer     lstm(layers=(4,), p=None, scale=1.0)",
        "trained on    quadratic, 4 steps",
        f"size          {count:,} parameters, {path.stat().st_size / 1000:.0f} kB",
        "loss          0.5 (0.4 – 0.6) on 7 problems",
        "best tuned    1.5 (1.4 – 1.6), adam",
        "verdict       Ahead of adam, 0.5 against 1.5",
        "licence       Apache-2.0",
        "made by       metadescent train quadratic --epochs 2",
    ]
    assert "theirs" in metadescent("list", "quadratic")[1]
