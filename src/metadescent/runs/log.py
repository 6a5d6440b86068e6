"""The log of a run, read and checked line by line, whoever wrote it; no JAX."""

import json
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._files import is_file, read_bytes, read_error
from metadescent.runs.folder import METRICS, STOPPED
from metadescent.runs.recipe import is_a

# The other numbers came with later versions, and may be missing from a log.
_NEEDED = ("epoch", "meta_loss", "gradient_norm", "validation_loss", "best_loss", "seconds")


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the log of a run, a dictionary of numbers for each epoch."""
    path = folder / METRICS
    if not is_file(path):
        return []
    lines = read_bytes(path).splitlines()
    return [_line(path, number, text) for number, text in enumerate(lines, 1)]


def read_stopped(folder: Path) -> dict[str, Any] | None:
    """Return where the meta-loss of a run ceased to be finite, None if it did not."""
    path = folder / STOPPED
    if not is_file(path):
        return None
    try:
        place = json.loads(path.read_text(encoding="utf-8"))
        return {name: int(place[name]) for name in ("epoch", "meta_step")}
    except PermissionError as error:
        raise read_error(path, error) from error
    # OverflowError: Infinity in JSON is a float that no int holds.
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged: whole numbers as epoch and meta_step are expected; remove it"
        ) from error


def _line(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
        needed = isinstance(line, dict) and all(is_a(line[name], float) for name in _NEEDED)
        whole = needed and all(_is_measured(*item) for item in line.items())
    except (ValueError, KeyError, RecursionError):
        line, whole = {}, False
    if not (whole and isinstance(line["epoch"], int)):
        raise UserError(
            f"line {number} of {path} is damaged: the numbers of an epoch are expected; remove it "
            "and all after it to read the rest, or restore the file"
        )
    return line


def _is_measured(name: str, value: Any) -> bool:
    if name == "gradient_norms":
        return isinstance(value, list) and all(is_a(norm, float) for norm in value)
    # JSON has null for a vital that could not be measured.
    return value is None or is_a(value, float)
