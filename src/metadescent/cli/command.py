"""The interface of a command, and how commands are found: each is a file that adds itself."""

import dataclasses
import importlib
import pkgutil
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from metadescent.runs.recipe import Recipe

# Only `run` imports these shared files: most of them import JAX, and `--help` is to be quick.
SHARED = {
    "baselines",
    "benches",
    "console",
    "learning",
    "pace",
    "painting",
    "tables",
    "template",
    "training",
    "verdicts",
}


# Not an ABC: for a class with another metaclass tyro imports typeguard, which takes 0.1 s.
class Command:
    """A subcommand, as a dataclass: its fields are its arguments, and its docstring is its help."""

    place: ClassVar[int] = 100
    """Its place in `--help`; commands of one place are in the order of their names."""

    def defaults(self, words: Sequence[str]) -> "Command | None":
        """Return defaults that depend on the words, which are then parsed again; else None."""
        return None

    def launch(self, words: Sequence[str]) -> int | None:
        """Run the words in new processes and return the status; None if `run` has to do it."""
        return None

    def outputs(self) -> Sequence[Path]:
        """Return the files that `run` will write; it only runs if they can be written."""
        return ()

    def inputs(self) -> Sequence[Path]:
        """Return the files that `run` reads, which must not be among the files that it writes."""
        return ()

    def line(self) -> str:
        """Return words for this command: required values, and values other than defaults."""
        words = ["metadescent", _name(type(self))]
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING:
                words.append(str(value))
            elif value != field.default:
                words += as_words(field.metadata.get("flag", field.name), value)
        return shlex.join(words)

    def run(self) -> None:
        """Do what the words ask for; every command defines this."""
        raise NotImplementedError


def as_words(name: str, value: Any) -> list[str]:
    """Return the words of a command line that make a choice."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", str(value)]


def flags(kind: Any) -> list[str]:
    """Return the flags of a command, with those of the recipe if it is `train`."""
    fields = dataclasses.fields(kind)
    names = [_flag(field) for field in fields if field.name != "recipe"]
    return names if len(names) == len(fields) else [*names, *flags(Recipe)]


def _flag(field: dataclasses.Field) -> str:
    # A field that is named otherwise on the command line says so.
    return f"--{field.metadata.get('flag', field.name).replace('_', '-')}"


def attributed(sentence: str, command: str) -> str:
    """Add to a sentence whose flags it advises, if the command itself does not have them."""
    known = commands()
    own = flags(known[command]) if command in known else []
    # A whole command already names its owner.
    flagged = re.findall(r"(?<!\S)(?<!metadescent train )--[a-z-]+", sentence)
    of_train = set(flagged) & set(flags(known["train"])) - set(own)
    return (
        f"{sentence} (of metadescent train: {', '.join(sorted(of_train))})"
        if of_train
        else sentence
    )


def commands() -> dict[str, type[Command]]:
    """Return the commands of this room by name, in the order of `--help`."""
    from metadescent import cli

    modules = [
        importlib.import_module(f"{cli.__name__}.{info.name}")
        for info in pkgutil.iter_modules(cli.__path__)
        if info.name not in SHARED
    ]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Command)
        and kind is not Command
        # Commands that a module imports belong to another file.
        and kind.__module__ == module.__name__
    ]
    kinds.sort(key=lambda kind: (kind.place, kind.__name__))
    return {_name(kind): kind for kind in kinds}


def _name(kind: type[Command]) -> str:
    """Return the name of a class with hyphens: NewProblem is new-problem."""
    return re.sub(r"\B(?=[A-Z])", "-", kind.__name__).lower()
