"""`list` and `inspect`: what there is."""

import json
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from metadescent import zoo
from metadescent.cli import arguments
from metadescent.cli.commands.dispatch import run
from metadescent.cli.console import console, figure, table
from metadescent.registry import optimizers, problems
from metadescent.zoo import cards
from metadescent.zoo import file as artifact


@run.register
def _list(command: arguments.List) -> None:
    out = console()
    rows = [[name, named.summary] for name, named in sorted(problems().items())]
    out.print(table("Problems", ["name", "f"], rows, text=["f"]))
    rows = [[name, _first_line(kind)] for name, kind in sorted(optimizers().items())]
    out.print(table("Kinds of optimizer", ["name", "m"], rows, text=["m"]))
    out.print("Pretrained: mean final losses on fresh problems, with 95 % intervals\n")
    for name in zoo.names():
        found = cards.facts(name)
        out.print(f" {name}", *_lines(found), "", sep="\n", markup=False)


def _lines(found: cards.Facts) -> list[str]:
    said = {
        "trained on": f"{found.trained_on}, {found.horizon}",
        "size": found.size,
        "loss": f"{found.loss} on {found.seeds} problems",
        "best tuned": found.baseline,
        "licence": found.licence,
        "made by": found.command,
    }
    return [f"     {what:<12}{value}" for what, value in said.items()]


@run.register
def _inspect(command: arguments.Inspect) -> None:
    path = zoo.path(command.optimizer)
    card, m = artifact.read_card(path), zoo.load(command.optimizer)
    out = console()
    arrays = eqx.filter(m, eqx.is_array)
    rows = [
        [jax.tree_util.keystr(where), "×".join(map(str, leaf.shape)), figure(float(leaf.std()))]
        for where, leaf in jax.tree_util.tree_leaves_with_path(arrays)
    ]
    count = sum(leaf.size for leaf in jax.tree.leaves(arrays))
    out.print(table(f"{path.name}: {count:,} parameters", ["φ", "shape", "std"], rows))
    if isinstance(card.get("validation"), dict):
        card["validation"] = {"loss": card["validation"].get("loss")}
    out.print(json.dumps(card, indent=2, ensure_ascii=False))


def _first_line(thing: Callable[..., Any]) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
