"""Weights & Biases, on its server or on your own; WANDB_MODE=offline needs no server."""

import os
from pathlib import Path

from metadescent.runs.loggers.base import Metrics, Outcome, needed, scalars
from metadescent.runs.loggers.service import Choices, Service


class WandB(Service):
    """Weights & Biases, as WANDB_MODE and its other variables say; wandb/ in the run's folder."""

    def __init__(self, project: str = "") -> None:
        self._wandb = needed("wandb", "wandb")
        self._project = project or os.environ.get("WANDB_PROJECT", "metadescent")

    def open(self, folder: Path, choices: Choices, number: str) -> int:
        # Choices change when a run is extended; the output on the terminal is not logged.
        known = {"resume": "allow", "allow_val_change": True, "config": choices}
        known |= {"settings": self._wandb.Settings(console="off")}
        self._run = self._wandb.init(
            project=self._project, id=number, name=folder.name, dir=str(folder), **known
        )
        # Offline this is 0, and the session logs the whole run; on a server it is the next step.
        return max(0, self._run.step - 1)

    def discard(self) -> None:
        self._run.finish()

    def log(self, metrics: Metrics) -> None:
        self._run.log(scalars(metrics), step=metrics["epoch"], commit=True)

    def end(self, outcome: Outcome) -> None:
        self._run.finish(exit_code=int(outcome == "failed"))


NAMED = {"wandb": WandB}
