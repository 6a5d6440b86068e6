"""A table for programs that read CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metadescent._files import write_atomically
from metadescent.runs.folder import TABLE
from metadescent.runs.loggers.base import Logger, Metrics, Outcome, cells


class CSV(Logger):
    """The table metrics.csv in the run's folder, a row an epoch; NaN is nan, nothing is empty."""

    def begin(self, folder: Path, config: Mapping[str, Any], earlier: Sequence[Metrics]) -> None:
        self._path, self._lines = folder / TABLE, [*earlier]
        self._write()

    def log(self, metrics: Metrics) -> None:
        self._lines.append(metrics)
        self._write()

    def end(self, outcome: Outcome) -> None:
        pass

    def _write(self) -> None:
        # All rows are written again, as later rows may have more columns than older ones.
        rows = [cells(metrics) for metrics in self._lines]
        heads, table = {tag: tag for row in rows for tag in row}, io.StringIO()
        writer = csv.DictWriter(table, heads, lineterminator="\n")
        writer.writerows([heads, *rows] if rows else [])
        write_atomically(self._path, table.getvalue())


NAMED = {"csv": CSV}
