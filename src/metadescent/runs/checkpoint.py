"""Resume a meta-training run exactly: its whole state as one file, the newest two kept.

Everything random in a run is a function of its seed and the epoch, so the state and the epoch are
all that has to be saved.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import equinox as eqx

from metadescent._errors import UserError
from metadescent.meta.state import MetaState
from metadescent.runs.folder import CHECKPOINT
from metadescent.zoo.arrays import load_arrays, save_arrays

KEEP = 2


def save_checkpoint(folder: Path, state: MetaState) -> Path:
    """Write the state after an epoch as `epoch-NNNNNN.safetensors`; keep the newest two."""
    epoch = int(state.epoch)
    path = folder / f"epoch-{epoch:06d}.safetensors"
    save_arrays(path, eqx.filter(state, eqx.is_array), {"epoch": epoch})
    # Only now, because until the new file is whole, the old ones are all that there is.
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(
    folder: Path, like: MetaState, *, warn: Callable[[str], object] = warnings.warn
) -> MetaState | None:
    """Return the newest state that can be read, of `like`'s structure; None if there is none.

    `warn` is told of a newer one that cannot be read. If none can be read, its UserError is raised.
    """
    arrays, static = eqx.partition(like, eqx.is_array)
    errors = []
    for path in reversed(checkpoints(folder)):
        try:
            state = eqx.combine(load_arrays(path, arrays)[0], static)
        except UserError as error:
            errors.append(error)
            continue
        if errors:
            warn(f"{errors[0]}; going on from the one before, of epoch {int(state.epoch)}")
        return state
    if errors:
        raise errors[0]
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first."""
    # Sorted by number, as the names of epochs past a million have one more digit.
    return sorted(
        (path for path in folder.glob("epoch-*") if re.fullmatch(CHECKPOINT, path.name)), key=_epoch
    )


def latest_epoch(folder: Path) -> int:
    """Return the epoch of the newest checkpoint in a folder, 0 if there is none."""
    return max(map(_epoch, checkpoints(folder)), default=0)


def _epoch(path: Path) -> int:
    return int(path.stem.removeprefix("epoch-"))
