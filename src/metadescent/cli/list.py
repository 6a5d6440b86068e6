"""`list`: what there is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metadescent.cli.command import Command


@dataclass(frozen=True)
class List(Command):
    """List the problems, the kinds of optimizer and the pretrained optimizers."""

    place = 1

    def run(self) -> None:
        """Print three lists."""
        from metadescent import zoo
        from metadescent.cli.console import output, table
        from metadescent.registry import optimizers, problems

        out = output()
        rows = [[name, named.summary] for name, named in sorted(problems().items())]
        out.print(table("Problems", ["name", "f"], rows, text=["f"]))
        rows = [[name, _first_line(kind)] for name, kind in sorted(optimizers().items())]
        out.print(table("Kinds of optimizer", ["name", "m"], rows, text=["m"]))
        out.print("Pretrained: mean final losses on fresh problems, with 95 % intervals\n")
        for name in zoo.names():
            out.print(f" {name}", _facts_of(name), "", sep="\n")


def _facts_of(name: str) -> str:
    """Return what a pretrained optimizer's card says, a line a fact."""
    from metadescent.zoo.cards import facts

    of = facts(name)
    lines = {
        "trained on": f"{of.trained_on}, {of.horizon}",
        "size": of.size,
        "loss": f"{of.loss} on {of.seeds} problems",
        "best tuned": of.baseline,
        "licence": of.licence,
        "made by": of.command,
    }
    return "\n".join(f"     {what:<12}{value}" for what, value in lines.items())


def _first_line(thing: Callable[..., Any]) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]
