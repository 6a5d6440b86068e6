"""What the cards and files of pretrained optimizers say, as a table and as a page; no JAX."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from metadescent import zoo
from metadescent._errors import UserError
from metadescent.zoo.tensors import read_metadata, read_tensors

FORMAT = 1

DIVERGED = "diverged"
"""What stands for the final loss of a baseline that diverged on some problem."""


class Facts(NamedTuple):
    """One pretrained optimizer in short, as text.

    `loss` is its mean final loss on as many fresh problems as `seeds` says, with the 95 % interval,
    `baseline` the least among the tuned hand-designed optimizers on the same problems, `command`
    what makes it again.

    Example:
        >>> found = facts("quadratic-lstm")
        >>> found.horizon, found.command
        ('100 steps', 'metadescent train quadratic --out runs/quadratic-lstm')
    """

    name: str
    optimizer: str
    trained_on: str
    horizon: str
    size: str
    seeds: str
    loss: str
    baseline: str
    licence: str
    command: str


def facts(name: str) -> Facts:
    """Return what the card and the file of a pretrained optimizer say.

    Example:
        >>> facts("mnist-lstm").trained_on, facts("mnist-lstm").horizon
        ('mnist', '100 steps')
    """
    path = zoo.path(name)
    made, (leaves, _) = read_card(path), read_tensors(path)
    summary, comparison = tables(zoo.card(name))[:2]
    said = {row[0]: row[1] for row in summary}
    learned, *others = [dict(zip(comparison[0], row, strict=True)) for row in comparison[1:]]
    finite = [row for row in others if row["final loss"] != DIVERGED]
    best = min(finite, key=lambda row: float(row["final loss"]))
    count = sum(math.prod(leaf.shape) for leaf in leaves.values())
    return Facts(
        name=name,
        optimizer=made["optimizer"],
        trained_on=made["trained_on"],
        horizon=f"{made['recipe']['steps']} steps",
        size=f"{count:,} parameters, {path.stat().st_size / 1000:.0f} kB",
        seeds=str(made["test"]["seeds"]),
        loss=_with_interval(learned),
        baseline=f"{_with_interval(best)}, {best['']}",
        licence=said["licence"],
        command=said["made again by"].strip("`"),
    )


def tables(text: str) -> list[list[list[str]]]:
    r"""Return the tables of a text in Markdown: for each, its rows of cells, the heading first.

    Example:
        >>> tables("| a | b |\n|---|---|\n| 1 | 2 |\n\nWords.")
        [[['a', 'b'], ['1', '2']]]
    """
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|") and not inside:
            found.append([])
        inside = line.startswith("|")
        if inside and "---" not in line:
            found[-1].append([cell.strip() for cell in line[1:-1].split("|")])
    return found


def page() -> str:
    r"""Return the part of the documentation's page that is about each optimizer, in Markdown.

    Example:
        >>> page().count("\n## ") == len(zoo.names())
        True
    """
    columns = ["", "trained on", "horizon", "size", "final loss", "best tuned", "licence"]
    lines = [_row(columns), _row(["---"] * len(columns))]
    for one in map(facts, zoo.names()):
        name, on = f"[{one.name}](#{one.name})", f"`{one.trained_on}`"
        lines.append(_row([name, on, one.horizon, one.size, one.loss, one.baseline, one.licence]))
    cards = [zoo.card(name).replace("\n## ", "\n### ") for name in zoo.names()]
    return "\n".join(lines) + "".join(f"\n\n#{card.rstrip()}" for card in cards) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _with_interval(row: dict[str, str]) -> str:
    return f"{row['final loss']} ({row['95 %']})"


def read_card(path: str | Path) -> dict[str, Any]:
    """Return what an optimizer's file says of it, without reading φ.

    Raises:
        UserError: if the file is not an optimizer's, or its format is newer than this package.

    Example:
        >>> from metadescent import zoo
        >>> read_card(zoo.path("mnist-lstm"))["optimizer"]
        'lstm(p=10.0, scale=0.1)'
    """
    metadata = read_metadata(Path(path))
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {metadata.get('format')!r} and this version reads format {FORMAT}; "
            "try a newer metadescent"
        )
    if not isinstance(metadata.get("optimizer"), str):
        raise UserError(f"{path} holds no optimizer; it must be an optimizer.safetensors")
    return metadata
