"""The scalars of a run for TensorBoard: what `metrics.jsonl` has, as event files.

The file format is written by tensorboardX, which is not among the package's own dependencies.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metadescent._errors import UserError

FOLDER = "tensorboard"

EventLog = Callable[[Mapping[str, Any]], None]
"""Where the metrics of an epoch go."""


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an epoch's metrics by tag; a list has a tag for each of its numbers."""
    by_tag: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, list):
            by_tag |= {f"{name}/{k}": float(x) for k, x in enumerate(value, 1)}
        elif isinstance(value, int | float) and name != "epoch":
            by_tag[name] = float(value)
    # TensorBoard draws no NaN.
    return {tag: value for tag, value in by_tag.items() if math.isfinite(value)}


@contextmanager
def event_log(folder: Path, wanted: bool = True) -> Iterator[EventLog]:
    """Write metrics as TensorBoard's event files in a run's folder; none where not wanted."""
    if not wanted:
        yield lambda line: None
        return
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UserError(
            "--tensorboard needs tensorboardX, which is not installed; try "
            "pip install 'metadescent[tensorboard]', or read metrics.jsonl"
        ) from error
    writer: Any = None

    def log(line: Mapping[str, Any]) -> None:
        nonlocal writer
        # Only now, so that what cannot start leaves no folder. A run that was killed may have
        # written of this epoch before: that is purged.
        writer = writer or SummaryWriter(logdir=str(folder / FOLDER), purge_step=line["epoch"])
        for name, value in scalars(line).items():
            writer.add_scalar(name, value, line["epoch"])
        writer.flush()

    try:
        yield log
    finally:
        if writer is not None:
            writer.close()
