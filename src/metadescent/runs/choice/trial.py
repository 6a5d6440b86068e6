"""One trial: a candidate is trained in a folder of its own until its seconds are over."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from metadescent._files import is_file, write_atomically
from metadescent.problems.base import Problem
from metadescent.runs import training
from metadescent.runs.checkpoint import checkpoints, latest_epoch
from metadescent.runs.choice.candidate import Candidate
from metadescent.runs.choice.journal import Journal, Result
from metadescent.runs.choice.pairs import PairedTimes
from metadescent.runs.curriculum import keep_optimizer
from metadescent.runs.folder import CHECKPOINTS, METRICS, OPTIMIZER, TRIALS
from metadescent.runs.log import read_metrics
from metadescent.runs.own import load
from metadescent.runs.plan import plan_of


class Clock:
    """Notes in a journal the time since it was last asked."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.since = journal, time.monotonic()

    def note(self) -> None:
        """Note the time since the last call."""
        now = time.monotonic()
        self.journal.spend(now - self.since)
        self.since = now


class Family(NamedTuple):
    """What all trials of a choice share."""

    folder: Path
    problem: Problem
    journal: Journal
    pairs: PairedTimes
    data_dir: Path | None
    spent: Clock
    check: Callable[[str], object]


def try_out(family: Family, candidate: Candidate, seconds: float) -> Result:
    """Train one candidate, or go on with it."""
    name, journal = candidate.name, family.journal
    place = folder_of(family.folder, name)
    run = training.train(
        place,
        family.problem,
        journal.problem_name,
        plan_of(candidate.recipe),
        resume=True,
        data_dir=family.data_dir,
        warn=lambda _: None,
    )
    # The first epoch of a session is mostly compilation, so it does not count.
    begun = journal.sessions(name, latest_epoch(place / CHECKPOINTS))
    with contextlib.closing(run):
        while not (epochs := _seconds_of_epochs(place)) or _counted(epochs, begun) < seconds:
            next(run)
            family.spent.note()
            family.check(f"in the trial {name}, whose epochs are saved")
    later = [took for at, took in enumerate(epochs) if at not in begun]
    epoch = statistics.median(later or epochs)
    trained = is_file(place / OPTIMIZER)
    return Result(
        name,
        candidate.recipe.optimizer,
        journal.get("starts")[candidate.recipe.optimizer],
        family.pairs.time_of(load(place)) if trained else float("inf"),
        len(epochs),
        epoch,
        max(0.0, epochs[0] - epoch),
    )


def _seconds_of_epochs(place: Path) -> list[float]:
    at = [0.0, *(line["seconds"] for line in read_metrics(place))]
    return [after - before for before, after in itertools.pairwise(at)]


def _counted(epochs: list[float], begun: list[int]) -> float:
    """Return the seconds of the epochs that are not the first of a session."""
    return sum((took for at, took in enumerate(epochs) if at not in begun), start=0.0)


def keep_best_so_far(family: Family) -> None:
    """Make the best φ of all trials the folder's, for a user who stops before the end."""
    results = family.journal.trials()
    best = min(results, key=lambda result: result.best)
    if is_file(place := folder_of(family.folder, best.name) / OPTIMIZER):
        keep_optimizer(family.folder, place)


def go_on_from(trial: Path, folder: Path) -> None:
    """Begin the run of a folder where a trial ended."""
    kept = [trial / METRICS, trial / OPTIMIZER, *checkpoints(trial / CHECKPOINTS)]
    for path in filter(is_file, kept):
        place = folder / path.relative_to(trial)
        place.parent.mkdir(exist_ok=True)
        write_atomically(place, path.read_bytes())


def seconds_of(trial: Path) -> float:
    """Return how long a trial was trained."""
    return sum(_seconds_of_epochs(trial), start=0.0)


def folder_of(folder: Path, name: str) -> Path:
    """Return the folder of a trial's run."""
    return folder / TRIALS / name
