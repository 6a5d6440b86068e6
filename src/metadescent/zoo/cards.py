"""The facts in the cards and files of pretrained optimizers, as a table and a page; no JAX."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metadescent._errors import UserError
from metadescent.zoo import catalogue
from metadescent.zoo.tensors import read_metadata, read_tensors

FORMAT = 1

DIVERGED = "diverged"
"""The final loss of a baseline that diverged on some problem is written so."""


class Facts(NamedTuple):
    """One pretrained optimizer in short, as text."""

    name: str
    optimizer: str
    trained_on: str
    horizon: str
    size: str
    seeds: str  # how many fresh problems `loss` and `baseline` are measured on
    loss: str  # the mean final loss, with its 95 % interval
    baseline: str  # the lowest of the tuned hand-designed optimizers
    licence: str
    command: str  # the command that makes it again
    purpose: str  # the first line of the card below its heading

    @property
    def behind(self) -> bool:
        """Return whether the best tuned hand-designed optimizer ended lower."""
        return float(self.loss.split()[0]) >= float(self.baseline.split()[0])

    @property
    def verdict(self) -> str:
        """Return how it compares with the best tuned hand-designed optimizer, in words."""
        mine, best = self.loss.split()[0], self.baseline.split()
        return f"{'Behind' if self.behind else 'Ahead of'} {best[-1]}, {mine} against {best[0]}"


def facts(name: str) -> Facts:
    """Return the facts in the card and the file of a pretrained optimizer."""
    path = catalogue.path(name)
    made, (leaves, _) = read_card(path), read_tensors(path)
    # A card first says what the optimizer is, and then how it compares.
    text = catalogue.card(name)
    summary, comparison = tables(text)[:2]
    about = {row[0]: row[1] for row in summary}
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
        licence=about["licence"],
        command=about["made again by"].strip("`"),
        purpose=text.splitlines()[2],
    )


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables of a Markdown text: rows of cells for each, with the heading first."""
    rows_by_table: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|") and not inside:
            rows_by_table.append([])
        inside = line.startswith("|")
        # The line of dashes below the heading is not a row.
        if inside and "---" not in line:
            rows_by_table[-1].append([cell.strip() for cell in line[1:-1].split("|")])
    return rows_by_table


def all_cards() -> str:
    """Return a table of all pretrained optimizers and then their cards, in Markdown."""
    names = catalogue.names()
    columns = ["optimizer", "trained on", "final loss", "best tuned"]
    lines = [_row(columns), _row(["---"] * len(columns))]
    for row in map(facts, names):
        link, problem = f"[`{row.name}`](#{row.name})", f"`{row.trained_on}`, {row.horizon}"
        loss = f"{row.loss}, behind" if row.behind else row.loss
        lines.append(_row([f"{link}: {row.size}", problem, loss, row.baseline]))
    # Each card becomes a section of one page, so its headings go down a level.
    cards = [catalogue.card(name).replace("\n## ", "\n### ") for name in names]
    return "\n".join(lines) + "".join(f"\n\n#{card.rstrip()}" for card in cards) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _with_interval(row: dict[str, str]) -> str:
    return f"{row['final loss']} ({row['95 %']})"


def training_taken(made: Mapping[str, Any]) -> str:
    """Return what an optimizer's training took, stage by stage; empty if its file does not say."""
    taken: list[str] = []
    stage: Any = made
    try:
        while stage:
            budget = stage["budget"]
            steps, epoch = f"{budget['meta_steps']:,} meta-steps", budget["epoch"]
            taken.insert(
                0,
                f"{steps} of {stage['recipe']['unroll']} steps to epoch {epoch}, "
                f"{duration(budget['seconds'])}",
            )
            stage = stage.get("before")
    # A file from somebody else may have anything under these names.
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
    return "; then ".join(taken)


def duration(seconds: float) -> str:
    """Return a time in words: in seconds up to two minutes, in minutes from then on."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def read_card(path: str | Path) -> dict[str, Any]:
    """Return the card in an optimizer's file, without reading φ."""
    metadata = read_metadata(Path(path))
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {metadata.get('format')!r} and this version reads format {FORMAT}; "
            "try a newer metadescent"
        )
    if not isinstance(metadata.get("optimizer"), str):
        raise UserError(f"{path} holds no optimizer; it must be an optimizer.safetensors")
    return metadata
