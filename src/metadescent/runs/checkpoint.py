"""Resume a meta-training run exactly: its whole state as one file, the newest two kept."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import equinox as eqx

from metadescent._errors import UserError
from metadescent.meta.state import MetaState
from metadescent.zoo.arrays import load_arrays, save_arrays

KEEP = 2


def save_checkpoint(folder: Path, state: MetaState) -> Path:
    """Write the state after an epoch as `epoch-NNNNNN.safetensors`; keep the newest two.

    Everything random in a run is a function of its seed and the epoch, so the state and the epoch
    are all there is to save.

    Example:
        >>> import jax, optax, tempfile
        >>> from metadescent.meta.state import initial_state
        >>> from metadescent.optimizers.lstm import LSTM
        >>> state = initial_state(LSTM((2,), key=jax.random.key(0)), optax.adam(1e-3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(Path(folder), state).name
        'epoch-000000.safetensors'
    """
    epoch = int(state.epoch)
    path = folder / f"epoch-{epoch:06d}.safetensors"
    save_arrays(path, eqx.filter(state, eqx.is_array), {"epoch": epoch})
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(
    folder: Path, like: MetaState, *, warn: Callable[[str], object] = warnings.warn
) -> MetaState | None:
    """Return the newest state that can be read, or None where there is no checkpoint at all.

    Arguments:
        folder: where `save_checkpoint` wrote.
        like: a state of the same structure, from `initial_state`.
        warn: is told, in one sentence, where a newer one could not be read.

    Raises:
        UserError: if there are checkpoints and none can be read; the sentence is the newest one's.

    Example:
        >>> import jax, optax, tempfile
        >>> from metadescent.meta.state import initial_state
        >>> from metadescent.optimizers.lstm import LSTM
        >>> state = initial_state(LSTM((2,), key=jax.random.key(0)), optax.adam(1e-3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     before = load_checkpoint(Path(folder), state)
        ...     _ = save_checkpoint(Path(folder), state)
        ...     found = load_checkpoint(Path(folder), state)
        >>> before, int(found.epoch), bool(eqx.tree_equal(found, state))
        (None, 0, True)
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
    """Return the checkpoints of a folder, oldest first.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("epoch-000012.safetensors", "epoch-000003.safetensors", "epoch-7"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in checkpoints(Path(folder))]
        ['epoch-000003.safetensors', 'epoch-000012.safetensors']
    """
    found = (
        re.fullmatch(r"epoch-(\d{6,})\.safetensors", path.name) for path in folder.glob("epoch-*")
    )
    return [folder / match[0] for match in sorted(filter(None, found), key=lambda m: int(m[1]))]


def latest_epoch(folder: Path) -> int:
    """Return the epoch of the newest checkpoint in a folder, 0 if there is none.

    Example:
        >>> latest_epoch(Path("no", "such", "folder"))
        0
    """
    return max((int(path.stem.removeprefix("epoch-")) for path in checkpoints(folder)), default=0)
