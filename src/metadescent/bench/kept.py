"""References that are kept: with the package, and in a folder of the user's."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._files import is_file, read_bytes, write_rows
from metadescent.bench.measured import POINTS
from metadescent.bench.reference import Reference, is_of, make_reference, probe, reference_from
from metadescent.bench.rivals import ADAM, ADAMW_RATES, DECAYS
from metadescent.bench.task import Split

PACKAGE = Path(__file__).parent / "references"


def reference_of(
    task: str,
    split: Split,
    *,
    num_steps: int,
    num_seeds: int,
    seed: int,
    folder: Path | None,
    progress: Callable[[str], object] = lambda _: None,
) -> Reference:
    """Return a task's reference: the package's, that of a folder, or a new one that is put there.

    Raises:
        UserError: if a file that should hold it is damaged.
    """
    asked = {"steps": num_steps, "seeds": num_seeds, "seed": seed, "points": POINTS}
    homes = [PACKAGE, *([folder] if folder else [])]
    for home in homes:
        reference = _read(home / file_of(task, asked), asked, split)
        if reference is not None:
            return reference
    sizes = {"num_steps": num_steps, "num_seeds": num_seeds, "seed": seed}
    reference = make_reference(split, **sizes, progress=progress)
    if folder is not None:
        # A cache that cannot be written only costs time.
        with contextlib.suppress(UserError, OSError):
            keep(folder, task, asked, split, reference)
    return reference


def keep(
    folder: Path, task: str, asked: dict[str, int], split: Split, reference: Reference
) -> None:
    """Write a reference into a folder, with what it depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"of": _of(asked), "probe": probe(split), "reference": reference.to_json()}
    write_rows(folder / file_of(task, asked), written)


def file_of(task: str, asked: dict[str, int]) -> str:
    """Return the name of a reference's file."""
    return f"{task}-{asked['steps']}-{asked['seeds']}-{asked['seed']}.json"


def _of(asked: dict[str, int]) -> dict[str, Any]:
    """Return what a reference depends on, besides the task."""
    rates = {"adam": ADAM.rates, "adamw": ADAMW_RATES, "decay": DECAYS}
    return {**asked, **{name: list(values) for name, values in rates.items()}}


def _read(path: Path, asked: dict[str, int], split: Split) -> Reference | None:
    """Return the reference in a file, None if there is none or it is of something else."""
    if not is_file(path):
        return None
    try:
        kept = json.loads(read_bytes(path))
        if kept["of"] != _of(asked) or not is_of(kept["probe"], split):
            return None
        return reference_from(kept["reference"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged; remove it, and it is made anew") from error
