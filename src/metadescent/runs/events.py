"""The scalars of a run for TensorBoard: what `metrics.jsonl` has, as event files.

The file format is written by tensorboardX, which is not among the package's own dependencies.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from metadescent._errors import UserError

FOLDER = "tensorboard"


@runtime_checkable
class Log(Protocol):
    """Where the metrics of an epoch go."""

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Write the metrics of an epoch."""
        ...


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of an epoch's metrics by tag; a list has a tag for each of its numbers.

    Example:
        >>> scalars({"epoch": 3, "meta_loss": 0.5, "gradient_norms": [1.0, 2.0], "start": None})
        {'meta_loss': 0.5, 'gradient_norms/1': 1.0, 'gradient_norms/2': 2.0}
    """
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, list):
            found |= {f"{name}/{k}": float(x) for k, x in enumerate(value, 1)}
        elif isinstance(value, int | float) and name != "epoch":
            found[name] = float(value)
    return {name: value for name, value in found.items() if math.isfinite(value)}


@contextmanager
def event_log(folder: Path, wanted: bool = True) -> Iterator[Log]:
    """Write metrics as TensorBoard's event files in a run's folder; where not wanted, write none.

    Raises:
        UserError: if tensorboardX is not installed.
    """
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
        # Only now, so that what cannot start leaves no folder.
        writer = writer or SummaryWriter(logdir=str(folder / FOLDER), purge_step=line["epoch"])
        for name, value in scalars(line).items():
            writer.add_scalar(name, value, line["epoch"])
        writer.flush()

    try:
        yield log
    finally:
        if writer is not None:
            writer.close()
