"""Event files for TensorBoard."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metadescent.runs.loggers.base import Logger, Metrics, Outcome, needed, scalars

FOLDER = "tensorboard"


class TensorBoard(Logger):
    """TensorBoard's event files, in tensorboard/ of the run's folder."""

    def __init__(self) -> None:
        self._package = needed("tensorboardX", "tensorboard")

    def begin(self, folder: Path, config: Mapping[str, Any], earlier: Sequence[Metrics]) -> None:
        # All earlier epochs are purged and written again: an earlier session may have been killed
        # before an epoch was written, or after an epoch that is trained again.
        self._writer = self._package.SummaryWriter(logdir=str(folder / FOLDER), purge_step=1)
        # The axis of time is that of training, without the time between sessions.
        self._zero = time.time() - (earlier[-1]["seconds"] if earlier else 0.0)
        for metrics in earlier:
            self.log(metrics)

    def log(self, metrics: Metrics) -> None:
        at = {"global_step": metrics["epoch"], "walltime": self._zero + metrics["seconds"]}
        for tag, value in scalars(metrics).items():
            self._writer.add_scalar(tag, value, **at)
        self._writer.flush()

    def end(self, outcome: Outcome) -> None:
        self._writer.close()


NAMED = {"tensorboard": TensorBoard}
