"""`train`: learn an optimizer, in a folder that survives kills."""

import functools
import math
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, arg

from metadescent._errors import UserError, require
from metadescent._files import is_file
from metadescent._spec import calls, parse
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, File, Names, Problem, Scheduler, Workers
from metadescent.runs.cluster.seats import Seat, seat_of
from metadescent.runs.folder import CHOICE, CONFIG, config_here, read_choice, resumption
from metadescent.runs.memory import parse_bytes
from metadescent.runs.naming import folder_name
from metadescent.runs.recipe import Recipe, recipe_from

CHOSEN_WITH = {"steps", "seed"}
"""Choices of a recipe that the user may make although the others are to be chosen."""


def _given(words: Sequence[str]) -> set[str]:
    """Return the choices of the recipe that are among the words."""
    names = {field.name for field in fields(Recipe)}
    flags = {word.partition("=")[0].removeprefix("--") for word in words if word[:2] == "--"}
    return names & {flag.removeprefix("no-").replace("-", "_") for flag in flags}


def to_be_chosen(flag: str, begun: bool) -> UserError:
    """Return the error for a flag that is given although the recipe is chosen."""
    flag, mend = flag.replace("_", "-"), "choose another folder" if begun else "try --recipe paper"
    return UserError(f"--{flag} is given and the recipe is to be chosen; leave it out or {mend}")


def _folder_in(kept: dict[str, Any]) -> Path | None:
    """Return the folder of the data that a run was begun with, if it still exists."""
    data_dir = (kept.get("origin") or {}).get("data_dir")
    return Path(data_dir) if data_dir and os.path.isdir(data_dir) else None


@dataclass(frozen=True)
class Train(Command):
    """Meta-train an optimizer on a problem; defaults are the recipe that suits the problem."""

    place = 4

    problem: Problem
    """Such as mnist, file.py:NAME, module:NAME or quadratic(dimension=20); with --resume, a run."""
    recipe: OmitArgPrefixes[Recipe] = field(default_factory=Recipe)
    out: File = None
    """Run folder; runs/PROBLEM if not given."""
    resume: bool = False
    """Go on with a run: train --resume RUN; more --epochs or --minutes extend one that is over."""
    by: Annotated[Literal["auto", "choice", "paper"], arg(name="recipe")] = field(
        default="auto", metadata={"flag": "recipe"}
    )
    """Whether to look for a recipe; auto: for your own problem, if no other flag says one."""
    minutes: float = 0.0
    """Stop, saved, once it has trained for so long in all; 0: never, or 10 with a choice."""
    search: int = 0
    """Pick the meta-rate by random search: this many short trials."""
    curriculum: Annotated[str | None, arg(metavar="STEPS,…")] = None
    """Train in stages of longer and longer horizons, such as 100,200,500,1000."""
    memory_budget: Annotated[str | None, arg(metavar="SIZE")] = None
    """Pick the quickest form whose predicted peak fits, such as 2GiB."""
    log: Names = ""
    """Log each epoch to csv, mlflow, tensorboard, wandb, or a logger of yours, file.py:NAME."""
    seeds: int = 1
    """Train this often, with seeds from --seed on, each in a folder of its own."""
    workers: Workers = 1
    scheduler: Scheduler = None
    processes: int = 0
    """Spread each meta-step over this many; of this machine, if there is no coordinator."""
    coordinator: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Address of process 0, where processes are started one by one; on several machines, say."""
    process_id: Annotated[int | None, arg(metavar="INT")] = None
    """Number of this process, from 0, where there is a coordinator."""
    restarts: int = 0
    """Start again, from the last checkpoint, as often as this where a process is lost."""
    data_dir: DataDir = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        for name in ("search", "processes", "restarts"):
            require(name, getattr(self, name), 0)
        for name in ("seeds", "workers"):
            require(name, getattr(self, name), 1)
        require("minutes", self.minutes, 0.0)
        if self.minutes and self.several:
            raise UserError(
                f"--minutes is {self.minutes:g}, which is for one run, and --{self.several[0]} is "
                "for several; leave one of them out"
            )
        if (self.workers > 1 or self.scheduler) and not self.search and self.seeds == 1:
            raise UserError(
                "there is one run, and --workers and --scheduler are for several; try --processes, "
                "or more --seeds"
            )
        if self.horizons and self.seeds > 1:
            raise UserError(
                f"--seeds is {self.seeds}, and a curriculum has one; run it for each --seed"
            )
        _ = self.budget  # read for its error: a command that cannot start should not claim a folder

    @property
    def folder(self) -> Path:
        """Return the run folder."""
        return self._place or self.out or Path("runs") / folder_name(self.problem)

    @property
    def problem_name(self) -> str:
        """Return the problem's name; if a run is given in its place, the run knows it."""
        if not self._place:
            return self.problem
        kept = None if is_file(self._place / CONFIG) else read_choice(self._place)
        return kept["asked"]["problem"] if kept else config_here(self._place)["problem"]

    @property
    def several(self) -> list[str]:
        """Return the flags that ask for more than one run."""
        flags = {"search": self.search, "seeds": self.seeds > 1, "curriculum": self.curriculum}
        return [flag for flag, given in flags.items() if given]

    @property
    def begun(self) -> bool:
        """Tell whether the command goes on with a single run."""
        return self.resume and not self.several and is_file(self.folder / CONFIG)

    @property
    def resumption(self) -> str:
        """Return the command that goes on after a stop."""
        if self.several:
            return "the same words and --resume"
        return resumption(self.folder) + (f" --log {shlex.quote(self.log)}" if self.log else "")

    @functools.cached_property
    def _place(self) -> Path | None:
        """Return the folder of a run that is given in place of the problem, None otherwise."""
        place = Path(os.path.expanduser(self.problem))
        begun = is_file(place / CONFIG) or is_file(place / CHOICE)
        if not self.resume or self.out or self.several or not begun:
            return None
        usual = Path("runs") / folder_name(self.problem)
        if len(place.parts) == 1 and self.problem == place.name and is_file(usual / CONFIG):
            raise UserError(
                f"{self.problem} is the folder of a run, and the problem of that name has another "
                f"in {usual}; try --resume {Path('.', place)}{os.sep} or --out {usual}"
            )
        return place

    @property
    def in_place(self) -> bool:
        """Tell whether a run's folder is given in place of the problem."""
        return self._place is not None

    @property
    def budget(self) -> int | float:
        """Return the most memory that a run may take, infinite if no budget is given."""
        return math.inf if self.memory_budget is None else parse_bytes(self.memory_budget)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Return the horizons of the curriculum, empty if there is no curriculum."""
        if self.curriculum is None:
            return ()
        try:
            return tuple(int(steps) for steps in self.curriculum.split(","))
        except ValueError:
            raise UserError(f"{self.curriculum!r} are no horizons; try 100,200,500,1000") from None

    def defaults(self, words: Sequence[str]) -> Command:
        """Return the recipe of the run or, for a new run, that of the problem."""
        given = _given(words)
        if self._choosing(given):
            kept = read_choice(self.folder) if self.resume else None
            if kept is None:
                return replace(self, by="choice", recipe=Recipe())
            asked = kept["asked"]
            recipe = replace(Recipe(), steps=asked["steps"], seed=asked["seed"])
            data_dir = self.data_dir or _folder_in(kept)
            # A choice is one run; with several runs there is no number of minutes.
            minutes = self.minutes if self.several else asked["minutes"]
            return replace(self, by="choice", recipe=recipe, data_dir=data_dir, minutes=minutes)
        if self.begun:
            config = config_here(self.folder)
            recipe = recipe_from(config["recipe"], self.folder / CONFIG)
            return replace(self, recipe=recipe, data_dir=self.data_dir or _folder_in(config))
        from metadescent.registry import recipe_of

        return replace(self, recipe=replace(Recipe(), **recipe_of(self.problem)))

    def _choosing(self, given: set[str]) -> bool:
        """Tell whether the recipe is to be chosen, or a choice goes on."""
        if self.begun:
            config_here(self.folder)  # read for its error
        kept = read_choice(self.folder) if self.resume else None
        if kept is not None or self.by == "choice":
            others = sorted(given - CHOSEN_WITH)
            # The result of a choice is a run like others, which may be extended.
            if others and not (kept and "kept" in kept):
                raise to_be_chosen(others[0], kept is not None)
            if kept and self.by == "paper" and not others:
                raise to_be_chosen("recipe", begun=True)
            longer = kept and "kept" in kept and self.minutes > kept["asked"]["minutes"]
            return not others and not (longer and self.begun)
        own = any(":" in call.name for call in calls(parse(self.problem)))
        plain = given <= CHOSEN_WITH and not (self.several or self.processes or self.coordinator)
        return self.by == "auto" and own and plain and not self.begun

    def launch(self, words: Sequence[str]) -> int | None:
        """Start processes of this machine and watch them, if the flags ask for them."""
        from metadescent.runs.cluster import launcher

        if not launcher.needs(self.processes, self.restarts):
            return None
        seat = self._seat()
        if seat and self.restarts:
            raise UserError(
                f"--restarts is {self.restarts}, and whoever started this process has to start it "
                "again; try --restarts with --processes alone"
            )
        # A process with a seat was started by another program.
        return (
            None
            if seat
            else launcher.launch(words, max(1, self.processes), self.restarts, self.resumption)
        )

    def run(self) -> None:
        """Train, alone or together with other processes, one of which leads."""
        from metadescent.cli.training import carry_out
        from metadescent.runs.cluster import gang
        from metadescent.runs.signals import patient

        seat = self._seat()
        if seat and (self.search or self.seeds > 1):
            flag = "search" if self.search else "seeds"
            raise UserError(
                f"--{flag} is {getattr(self, flag)}, which --workers or --scheduler share out and "
                "not processes that train together; leave one of them out"
            )
        if self.by == "choice":
            from metadescent.cli.learning import learn_and_say

            learn_and_say(self)
            return
        with gang.seated(seat):
            if gang.is_leader():
                carry_out(self)
                return
            with patient() as patience:
                gang.follow(self.data_dir)
        # The leader has ended the work, so the processes part as they do without a signal.
        patience.check("after the epoch at hand")

    def _seat(self) -> Seat | None:
        return seat_of(self.coordinator, self.processes, self.process_id, os.environ)
