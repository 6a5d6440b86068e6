"""The arguments of every command, as dataclasses; imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from metadescent.errors import UserError, require
from metadescent.memory import parse_bytes
from metadescent.recipe import Recipe

DataDir = Annotated[
    Path | None, arg(metavar="PATH", help="Folder of the datasets; else $METADESCENT_DATA.")
]
File = Annotated[Path | None, arg(metavar="PATH")]
Size = Annotated[str | None, arg(metavar="SIZE")]
Names = Annotated[str, arg(metavar="NAME,…")]
Problem = Positional[Annotated[str, arg(metavar="PROBLEM")]]
Optimizer = Positional[Annotated[str, arg(metavar="OPTIMIZER")]]


@dataclass(frozen=True)
class List:
    """List the problems, the kinds of optimizer and the pretrained optimizers."""


@dataclass(frozen=True)
class NewProblem:
    """Write a file to start a problem of one's own from; it trains as it is."""

    name: Positional[Annotated[str, arg(metavar="NAME")]]
    """Of the problem; the file is NAME.py in this folder."""


@dataclass(frozen=True)
class Demo:
    """Learn an optimizer for quadratics and compare it with tuned hand-designed ones (minutes)."""

    out: Path = Path("runs/demo")
    """Folder for the optimizer, the figure and the figures behind it."""
    epochs: int = 50
    """Epochs of meta-training."""
    seeds: int = 1000
    """Fresh functions to compare on."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("epochs", self.epochs, 1)
        require("seeds", self.seeds, 1)


@dataclass(frozen=True)
class Train:
    """Meta-train an optimizer on a problem; defaults are the recipe that suits the problem."""

    problem: Problem
    """Name such as mnist, module:NAME or file.py:NAME; options as in quadratic(dimension=20)."""
    recipe: OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    out: File = None
    """Run folder; runs/PROBLEM if not given."""
    resume: bool = False
    """Go on with the run in the folder, after a stop or a crash."""
    search: int = 0
    """Pick the meta-rate by random search: this many short trials."""
    curriculum: Annotated[str | None, arg(metavar="STEPS,…")] = None
    """Train in stages of longer and longer horizons, such as 100,200,500,1000."""
    memory_budget: Size = None
    """Pick the quickest form whose predicted peak fits, such as 2GiB."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("search", self.search, 0)
        if self.curriculum is not None:
            parse_horizons(self.curriculum)
        if self.memory_budget is not None:
            parse_bytes(self.memory_budget)


def parse_horizons(text: str) -> tuple[int, ...]:
    """Return the horizons of a curriculum.

    Example:
        >>> parse_horizons("100, 200")
        (100, 200)
    """
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"{text!r} are no horizons; try 100,200,500,1000") from None


@dataclass(frozen=True)
class Evaluate:
    """Compare an optimizer with tuned hand-designed ones on fresh problems."""

    optimizer: Optimizer
    """Pretrained optimizer, its file, or a run folder."""
    problem: Problem
    """Problem to optimize."""
    steps: int = 100
    """Optimization steps."""
    seeds: int = 64
    """Fresh problems."""
    against: Names = "sgd,nag,rmsprop,adam"
    """Hand-designed optimizers, each tuned for this problem and horizon."""
    json: File = None
    """Write the curves here."""
    plot: File = None
    """Write the learning curves here, as .svg and .png."""
    seed: int = 0
    """Draws the problems."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("steps", self.steps, 1)
        require("seeds", self.seeds, 1)
        require("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Tune:
    """Find the learning rate that serves a hand-designed optimizer best."""

    name: Positional[Literal["sgd", "nag", "rmsprop", "adam"]]
    """Hand-designed optimizer."""
    problem: Problem
    """Problem to tune it for."""
    steps: int = 100
    """Horizon."""
    seeds: int = 64
    """Problems a rate."""
    seed: int = 0
    """Draws the problems."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("steps", self.steps, 1)
        require("seeds", self.seeds, 1)
        require("seed", self.seed, 0, 2**32 - 1)


@dataclass(frozen=True)
class Inspect:
    """Show what an optimizer's file says of it, and its parameters."""

    optimizer: Optimizer
    """Pretrained optimizer, its file, or a run folder."""


@dataclass(frozen=True)
class Reproduce:
    """Make a figure of the paper, and judge the paper's claims about it."""

    figure: Positional[Annotated[str, arg(metavar="FIGURE")]]
    """Such as figure4."""
    budget: Literal["smoke", "cpu", "paper"] = "cpu"
    """Seconds, minutes or hours."""
    retrain: bool = False
    """Train the optimizers anew instead of taking the pretrained ones."""
    json: File = None
    """Write panels and claims here."""
    out: Path = Path("runs")
    """Folder for the figure."""
    seed: int = 0
    """Draws the problems."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        require("seed", self.seed, 0, 2**32 - 1)
