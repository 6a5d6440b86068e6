"""What is common to loggers whose service keeps the epochs of a run, and removes none."""

import uuid
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metadescent._files import is_file, write_atomically
from metadescent.runs.folder import RUN_ID
from metadescent.runs.loggers.base import Logger, Metrics

Choices = dict[str, Any]
"""The choices of a recipe, and the problem, by name."""


class Service(Logger):
    """A logger whose service can continue a run, by the number that is in the run's folder."""

    def begin(self, folder: Path, config: Mapping[str, Any], earlier: Sequence[Metrics]) -> None:
        """Continue the run, and log those earlier epochs that the service does not have."""
        choices = {"problem": config["problem"], **config["recipe"]}
        last = self.open(folder.resolve(), choices, run_id_of(folder))
        # The service has an epoch that is trained again, so another run of the service replaces it.
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
        """Leave the run that is open; another run will be opened in its place."""


def run_id_of(folder: Path, *, anew: bool = False) -> str:
    """Return the number by which services know a run, from its folder; a new one if `anew`."""
    path = folder / RUN_ID
    if anew or not is_file(path):
        write_atomically(path, f"{uuid.uuid4().hex}\n")
    return path.read_text(encoding="utf-8").strip()
