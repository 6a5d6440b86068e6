"""What loggers have in common whose service keeps the epochs of a run, and takes none back."""

import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metadescent._files import is_file, write_atomically
from metadescent.runs.folder import RUN_ID
from metadescent.runs.loggers.base import Logger, Metrics

Choices = dict[str, Any]
"""Those of a recipe, and the problem, by name."""


class Service(Logger):
    """A logger whose service goes on with a run, which it knows by the number in its folder."""

    def begin(self, folder: Path, config: Mapping[str, Any], earlier: Sequence[Metrics]) -> None:
        """Go on with the run, and log what it lacks of the earlier epochs."""
        choices = {"problem": config["problem"], **config["recipe"]}
        last = self.open(folder.resolve(), choices, run_id_of(folder))
        # It has an epoch that is trained again: another run takes its place.
        if last > len(earlier):
            self.discard()
            last = self.open(folder.resolve(), choices, run_id_of(folder, anew=True))
        for metrics in earlier[last:]:
            self.log(metrics)

    @abstractmethod
    def open(self, folder: Path, choices: Choices, number: str) -> int:
        """Open the service's run of this number, a new one if there is none; return its last epoch.

        `folder` is absolute.
        """

    @abstractmethod
    def discard(self) -> None:
        """Leave the run that is open, in whose place another will be opened."""


def run_id_of(folder: Path, *, anew: bool = False) -> str:
    """Return what services know a run by, which its folder keeps; `anew`, another from now on."""
    path = folder / RUN_ID
    if anew or not is_file(path):
        write_atomically(path, f"{uuid.uuid4().hex}\n")
    return path.read_text(encoding="utf-8").strip()
