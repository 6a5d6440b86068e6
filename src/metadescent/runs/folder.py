"""The folder of a run: what lies in it, which run it holds, and whether it may be had; no JAX.

config.json             the problem, the recipe and the origin
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
from metadescent._files import check_writable, is_file, read_error, write_json
from metadescent.runs.naming import found, meant
from metadescent.runs.recipe import Recipe

CONFIG = "config.json"
METRICS = "metrics.jsonl"
STOPPED = "stopped.json"
CHECKPOINTS = "checkpoints"
OPTIMIZER = "optimizer.safetensors"


def check_free(folder: Path, resume: bool) -> None:
    """Raise a UserError if the folder cannot be had, or holds a run that is not to be resumed."""
    if is_file(folder):
        raise UserError(f"{folder} is a file and a run is a folder; choose another place")
    if is_file(folder / CONFIG) and not resume:
        raise UserError(
            f"{folder} already holds a run; go on with it by --resume or choose another folder"
        )
    check_writable(folder)


def check_folder(folder: Path, problem_name: str, recipe: Recipe, resume: bool) -> None:
    """Raise a UserError if the folder holds a run that is not to be resumed, or another one."""
    check_free(folder, resume)
    if not (folder / CONFIG).exists():
        return
    if differing := differences(read_config(folder), problem_name, recipe):
        name, begun, asked = differing[0]
        raise UserError(
            f"{folder} belongs to another configuration: its {name} is {begun!r} and {asked!r} was "
            "asked for; repeat the run's own flags or choose another folder"
        )


def claim(
    folder: Path, problem_name: str, recipe: Recipe, resume: bool, origin: dict[str, Any]
) -> None:
    """Make a folder that this process holds the run's, having removed what a crash left half."""
    # Files of `write_atomically` that never got their name.
    for left_over in folder.rglob(".*.tmp"):
        left_over.unlink(missing_ok=True)
    # Again: before the lock was had, another process may have begun a run.
    check_folder(folder, problem_name, recipe, resume)
    if not (folder / CONFIG).exists():
        config = {"problem": problem_name, "recipe": asdict(recipe), "origin": origin}
        write_json(folder / CONFIG, config)


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says it is: its problem's name, its recipe, and its origin."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except PermissionError as error:
        raise read_error(folder / CONFIG, error) from error
    # RecursionError: brackets within brackets, a hundred thousand deep.
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder} is not a run folder: its {CONFIG} is missing or damaged"
        ) from error
    form = isinstance(config, dict) and isinstance(config.get("problem"), str)
    if not (form and isinstance(config.get("recipe"), dict) and _is_origin(config.get("origin"))):
        raise UserError(
            f"{folder / CONFIG} does not say what the run is: a name as problem and a table as "
            "recipe are expected; restore it or begin in another folder"
        )
    return config


def _is_origin(origin: Any) -> bool:
    tables = isinstance(origin, dict) and (origin.get("settings", {}), origin.get("versions", {}))
    # Runs of older versions have none.
    return origin is None or (
        bool(tables)
        and isinstance(origin.get("folder", ""), str)
        and all(isinstance(table, dict) for table in tables)
    )


def config_here(folder: Path) -> dict[str, Any]:
    """Return `read_config`'s, in which files are named so that they are found from this folder."""
    config = read_config(folder)
    home = _home(config)
    if home == Path.cwd():
        return config
    recipe = {name: found(name, value, home) for name, value in config["recipe"].items()}
    return {**config, "problem": found("problem", config["problem"], home), "recipe": recipe}


def _home(config: dict[str, Any]) -> Path:
    """Return the folder that a run was begun in; of older versions this one."""
    return Path((config.get("origin") or {}).get("folder") or Path.cwd())


def differences(config: dict[str, Any], problem: str, recipe: Recipe) -> list[tuple[str, Any, Any]]:
    """Return what differs between a folder's configuration and another: name, its, the other's."""
    # A choice that the run's own version did not have yet is at its default.
    begun = {"problem": config["problem"], **asdict(Recipe()), **config["recipe"]}
    asked = {"problem": problem, **asdict(recipe)}
    home = _home(config)
    return [
        (name, begun[name], asked[name])
        for name in asked
        if begun[name] != asked[name]
        and meant(name, begun[name], home) != meant(name, asked[name], Path.cwd())
    ]
