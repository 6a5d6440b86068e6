"""`train`: learn an optimizer, in a folder that survives kills."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, arg

from metadescent._errors import UserError, require
from metadescent.cli.command import Command
from metadescent.cli.words import DataDir, File, Problem, Scheduler, Workers
from metadescent.runs.cluster.seats import Seat, seat_of
from metadescent.runs.memory import parse_bytes
from metadescent.runs.recipe import Recipe


@dataclass(frozen=True)
class Train(Command):
    """Meta-train an optimizer on a problem; defaults are the recipe that suits the problem."""

    place = 4

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
    memory_budget: Annotated[str | None, arg(metavar="SIZE")] = None
    """Pick the quickest form whose predicted peak fits, such as 2GiB."""
    tensorboard: bool = False
    """Write what metrics.jsonl has for TensorBoard too, in the run's folder."""
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
        """Refuse numbers that mean nothing."""
        for name in ("search", "processes", "restarts"):
            require(name, getattr(self, name), 0)
        for name in ("seeds", "workers"):
            require(name, getattr(self, name), 1)
        if (self.workers > 1 or self.scheduler) and not self.search and self.seeds == 1:
            raise UserError(
                "there is one run, and --workers and --scheduler are for several; try --processes, "
                "or more --seeds"
            )
        if self.tensorboard and self.seeds > 1:
            raise UserError(
                f"--seeds is {self.seeds}, and TensorBoard's log is of one run; leave one of them "
                "out"
            )
        if self.horizons and self.seeds > 1:
            raise UserError(
                f"--seeds is {self.seeds}, and a curriculum has one; run it for each --seed"
            )
        _ = self.budget  # read for its error: what cannot start should not claim a folder

    @property
    def folder(self) -> Path:
        """Return the run folder."""
        return self.out or Path("runs") / self.problem.replace("/", "-")

    @property
    def budget(self) -> int | float:
        """Return the most memory that a run may take, infinite if nothing was said."""
        return math.inf if self.memory_budget is None else parse_bytes(self.memory_budget)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Return the horizons of the curriculum, none if there is no curriculum."""
        if self.curriculum is None:
            return ()
        try:
            return tuple(int(steps) for steps in self.curriculum.split(","))
        except ValueError:
            raise UserError(f"{self.curriculum!r} are no horizons; try 100,200,500,1000") from None

    def defaults(self) -> Command:
        """Return the recipe of the problem, now that the problem is known."""
        from metadescent.registry import recipe_of

        return replace(self, recipe=replace(Recipe(), **recipe_of(self.problem)))

    def launch(self, words: Sequence[str]) -> int | None:
        """Start processes of this machine and watch over them, where there are to be any."""
        from metadescent.runs.cluster import launcher

        if not launcher.needs(self.processes, self.restarts):
            return None
        seat = self._seat()
        if seat and self.restarts:
            raise UserError(
                f"--restarts is {self.restarts}, and whoever started this process has to start it "
                "again; try --restarts with --processes alone"
            )
        # One that has a seat was started by somebody else.
        return None if seat else launcher.launch(words, max(1, self.processes), self.restarts)

    def run(self) -> None:
        """Train, alone or in step with other processes, which one of them leads."""
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
        with gang.seated(seat):
            if gang.is_leader():
                carry_out(self)
                return
            with patient() as patience:
                gang.follow(self.data_dir)
        # The leader has said that this is the end: they part as they would without a signal.
        patience.check("after the epoch at hand")

    def _seat(self) -> Seat | None:
        return seat_of(self.coordinator, self.processes, self.process_id, os.environ)
