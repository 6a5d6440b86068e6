"""The progress of a choice, in a file: after a stop the choice goes on, and decides the same."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from metadescent._errors import UserError
from metadescent._files import write_json
from metadescent._levels import Level
from metadescent.runs.choice.look import Look
from metadescent.runs.choice.sizes import Sizes
from metadescent.runs.folder import CHOICE, read_choice
from metadescent.runs.origin import compare_origins
from metadescent.runs.recipe import Recipe, recipe_from


class Result(NamedTuple):
    """How a candidate did: r as it begins, r̄ at its best, and the seconds of an epoch.

    `first` is how much longer the first epoch took than the others, because of compilation.
    """

    name: str
    optimizer: str
    start: float
    best: float
    epochs: int
    epoch: float
    first: float


class Journal:
    """The file of a choice: what was asked for, seen, tried and chosen, each noted once known.

    Arguments:
        folder: of the run.
        asked: the problem's name, steps, minutes and seed; nothing, to read what is there.
        problem_name: the name by which the problem is found from this folder, if it is another.

    Raises:
        UserError: if the folder has a choice that was asked for otherwise, or a damaged one.
    """

    def __init__(self, folder: Path, asked: dict[str, Any], problem_name: str = ""):
        self.path, kept = folder / CHOICE, read_choice(folder)
        self.kept: dict[str, Any] = kept or {"asked": asked}
        self.problem_name = problem_name or self.kept["asked"]["problem"]
        for name, value in asked.items():
            before = self.kept["asked"].get(name)
            if before != value:
                raise UserError(
                    f"{folder} was begun with {name} {before!r} and {value!r} was asked for; "
                    "choose another folder"
                )
        if kept is None:
            self._write()

    def get(self, name: str) -> Any:
        """Return what is known by a name, None if nothing is yet."""
        return self.kept.get(name)

    def put(self, name: str, value: Any) -> None:
        """Note what has come out."""
        self.kept[name] = value
        self._write()

    def begin(self, origin: dict[str, Any], warn: Callable[[str], object]) -> None:
        """Note what the choice begins from; raise a UserError if it began from something else.

        Until the family has been looked at, nothing depends on it, so it may change.
        """
        before = self.get("origin")
        if before is None or self.get("look") is None:
            # The problem's name is relative to the folder that the choice was begun in.
            home = (before or origin).get("folder", origin["folder"])
            self.put("origin", {**origin, "folder": home})
        else:
            compare_origins(self.path.parent, before, origin, warn)

    @property
    def seconds(self) -> float:
        """Return how long everything that is noted took."""
        return self.kept.get("seconds", 0.0)

    def spend(self, seconds: float) -> None:
        """Note that so many more seconds were spent."""
        self.put("seconds", round(self.seconds + seconds, 3))

    def sessions(self, name: str, epochs: int) -> list[int]:
        """Note that a trial goes on after so many epochs; return all numbers noted for it.

        In the epoch after each of these numbers the program is compiled.
        """
        before = self.kept.get("sessions", {})
        begun = sorted({*before.get(name, []), epochs})
        self.put("sessions", {**before, name: begun})
        return begun

    def look(self) -> Look | None:
        """Return what was seen of the family, if it was looked at."""
        seen = self.kept.get("look")
        if seen is None:
            return None
        with self._read("look"):
            # JSON has no infinity.
            ends = {name: float("inf") if x is None else x for name, x in seen["ends"].items()}
            levels = tuple(Level(*level) for level in seen["levels"])
            sizes = Sizes(**seen["sizes"])
            return Look(**{**seen, "ends": ends, "levels": levels, "sizes": sizes})

    def see(self, seen: Look) -> None:
        """Note what was seen."""
        ends = {name: x if math.isfinite(x) else None for name, x in seen.ends.items()}
        self.put("look", {**seen._asdict(), "ends": ends, "sizes": seen.sizes._asdict()})

    def trials(self) -> list[Result]:
        """Return the results of the trials that were done, the longest of each candidate."""
        with self._read("trials"):
            # None stands for a trial that there was no time for.
            done = [Result(**kept) for kept in self.kept.get("trials", {}).values() if kept]
            return list({result.name: result for result in done}.values())

    def chosen(self) -> Recipe | None:
        """Return the recipe that was chosen, if one was."""
        recipe = self.kept.get("recipe")
        return None if recipe is None else recipe_from(recipe, self.path)

    def choose(self, name: str, recipe: Recipe) -> None:
        """Note the choice: the name of the trial that goes on, and its recipe."""
        self.put("chosen", name)
        self.put("recipe", asdict(recipe))

    @contextlib.contextmanager
    def _read(self, name: str) -> Iterator[None]:
        """Raise a UserError if a value in the journal is not as this version writes it."""
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{name} in {self.path} is damaged or of another version of metadescent; begin in "
                "another folder"
            ) from error

    def _write(self) -> None:
        write_json(self.path, self.kept)
