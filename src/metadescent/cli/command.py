"""What a command is, and how the room's are found: each is one file that adds itself."""

import dataclasses
import importlib
import pkgutil
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from metadescent.runs.recipe import Recipe

# What commands share is imported by `run` alone: most of it imports JAX, and `--help` is quick.
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


# Not an ABC: for a class of another metaclass tyro imports typeguard, which takes 0.1 s.
class Command:
    """A subcommand, as a dataclass: its fields are its arguments, and its docstring is its help."""

    place: ClassVar[int] = 100
    """Its place in `--help`; those of one place are in the order of their names."""

    def defaults(self, words: Sequence[str]) -> "Command | None":
        """Return what the words are read over once more, where defaults depend on them."""
        return None

    def launch(self, words: Sequence[str]) -> int | None:
        """Run the words as processes of their own and return the status; None: `run` is for it."""
        return None

    def outputs(self) -> Sequence[Path]:
        """Return the files that `run` will write: that they can be is looked at before it does."""
        return ()

    def inputs(self) -> Sequence[Path]:
        """Return the files that `run` reads, which must not be among those that it writes."""
        return ()

    def line(self) -> str:
        """Return the words that ask for this: what has no default, and what is not at its own."""
        words = ["metadescent", _name(type(self))]
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING:
                words.append(str(value))
            elif value != field.default:
                words += as_words(field.metadata.get("flag", field.name), value)
        return shlex.join(words)

    def run(self) -> None:
        """Do what the words ask for; every command has its own."""
        raise NotImplementedError


def as_words(name: str, value: Any) -> list[str]:
    """Return a choice as the words of a command line that make it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", str(value)]


def flags(kind: Any) -> list[str]:
    """Return the fields of a command, those of the recipe of `train` among them, as flags."""
    fields = dataclasses.fields(kind)
    names = [_flag(field) for field in fields if field.name != "recipe"]
    return names if len(names) == len(fields) else [*names, *flags(Recipe)]


def _flag(field: dataclasses.Field) -> str:
    # One that is named otherwise on the command line says so.
    return f"--{field.metadata.get('flag', field.name).replace('_', '-')}"


def attributed(sentence: str, command: str) -> str:
    """Add whose flags a sentence advises, where the command that it is said by has not got them."""
    known = commands()
    own = flags(known[command]) if command in known else []
    # A whole command says whose it is by itself.
    flagged = re.findall(r"(?<!\S)(?<!metadescent train )--[a-z-]+", sentence)
    of_train = set(flagged) & set(flags(known["train"])) - set(own)
    return (
        f"{sentence} (of metadescent train: {', '.join(sorted(of_train))})"
        if of_train
        else sentence
    )


def commands() -> dict[str, type[Command]]:
    """Return the commands of the room by their names, in the order of `--help`."""
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
        # Those that a module imports are another's.
        and kind.__module__ == module.__name__
    ]
    kinds.sort(key=lambda kind: (kind.place, kind.__name__))
    return {_name(kind): kind for kind in kinds}


def _name(kind: type[Command]) -> str:
    """Return the name of a class with hyphens: NewProblem is new-problem."""
    return re.sub(r"\B(?=[A-Z])", "-", kind.__name__).lower()
