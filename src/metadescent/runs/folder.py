"""The folder of a run, and whether it may be had.

config.json             the problem and the recipe
metrics.jsonl           one line an epoch
stopped.json            where the meta-loss ceased to be finite, if it did
checkpoints/            the whole state after the newest two epochs
optimizer.safetensors   the best optimizer so far, by validation
.lock                   held by the process that trains
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._files import check_writable, is_file, write_json
from metadescent.runs.log import CONFIG, differences, read_config
from metadescent.runs.recipe import Recipe

CHECKPOINTS = "checkpoints"
OPTIMIZER = "optimizer.safetensors"


def check_free(folder: Path, resume: bool) -> None:
    """Raise a UserError if the folder cannot be had, or holds a run that is not to be resumed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, CONFIG).write_text("{}")
        ...     check_free(Path(folder), resume=True)
        ...     check_free(Path(folder), resume=False)
        Traceback (most recent call last):
        metadescent.UserError: ... already holds a run; go on with it by --resume or ...
    """
    if is_file(folder):
        raise UserError(f"{folder} is a file and a run is a folder; choose another place")
    if is_file(folder / CONFIG) and not resume:
        raise UserError(
            f"{folder} already holds a run; go on with it by --resume or choose another folder"
        )
    check_writable(folder)


def check_folder(folder: Path, problem_name: str, recipe: Recipe, resume: bool) -> None:
    """Raise a UserError if the folder holds a run that is not to be resumed, or another one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder, CONFIG), {"problem": "mnist", "recipe": asdict(Recipe())})
        ...     check_folder(Path(folder), "mnist", Recipe(), resume=True)
        ...     check_folder(Path(folder), "quadratic", Recipe(), resume=True)
        Traceback (most recent call last):
        metadescent.UserError: ... its problem is 'mnist' and 'quadratic' was asked for; ...
    """
    check_free(folder, resume)
    if not (folder / CONFIG).exists():
        return
    for name, there, here in differences(read_config(folder), problem_name, recipe):
        raise UserError(
            f"{folder} belongs to another configuration: its {name} is {there!r} and {here!r} was "
            "asked for; repeat the run's own flags or choose another folder"
        )


def _config(problem_name: str, recipe: Recipe) -> dict[str, Any]:
    return {"problem": problem_name, "recipe": json.loads(json.dumps(asdict(recipe)))}


def claim(folder: Path, problem_name: str, recipe: Recipe, resume: bool) -> None:
    """Make a folder that this process holds the run's, having removed what a crash left half."""
    for left_over in folder.rglob(".*.tmp"):
        left_over.unlink(missing_ok=True)
    check_folder(folder, problem_name, recipe, resume)
    if not (folder / CONFIG).exists():
        write_json(folder / CONFIG, _config(problem_name, recipe))
