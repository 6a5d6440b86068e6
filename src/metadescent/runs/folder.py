"""The folder of a run: its files, which run it holds, and whether it can be used; no JAX.

config.json             the problem, the recipe, the origin, and by how much it was extended
metrics.jsonl           one line an epoch
stopped.json            where the meta-loss ceased to be finite, if it did
result.json             the best validation loss, where it is one of several runs
choice.json             what was seen, tried and chosen before, where the recipe was not given
trials/                 the runs that it was chosen by
checkpoints/            the whole state after the newest two epochs
optimizer.safetensors   the best optimizer so far, by validation
metrics.csv             that log as a table, where a logger writes it
run-id                  what Weights & Biases and MLflow know the run by, where they are told of it
.lock                   held by the process that trains
"""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._files import (
    check_own,
    check_writable,
    is_file,
    left_overs,
    read_error,
    write_json,
)
from metadescent.runs.naming import absolute, canonical
from metadescent.runs.recipe import Recipe
from metadescent.zoo.hub_names import as_path

CONFIG = "config.json"
METRICS = "metrics.jsonl"
STOPPED = "stopped.json"
CHECKPOINTS = "checkpoints"
OPTIMIZER = "optimizer.safetensors"
RESULT = "result.json"
CHOICE = "choice.json"
TRIALS = "trials"
TABLE = "metrics.csv"
RUN_ID = "run-id"
CHECKPOINT = r"epoch-\d{6,}\.safetensors"
"""The names of checkpoints, as a regular expression."""
OWN = (CONFIG, OPTIMIZER, METRICS, STOPPED, RESULT, CHOICE, TABLE, RUN_ID)
"""The files that a run may write into its folder; checkpoints are in a folder below."""
_NAMES = "|".join(map(re.escape, OWN))


def resumption(folder: Path) -> str:
    """Return the command that goes on with the run in a folder, from whatever place it is typed."""
    return f"metadescent train --resume {shlex.quote(str(folder))}"


def check_free(folder: Path, resume: bool, *, member: bool = False) -> None:
    """Raise a UserError if the folder cannot be used, or holds a run that is not to be resumed."""
    if is_file(folder):
        raise UserError(f"{folder} is a file and a run is a folder; choose another place")
    begun = is_file(folder / CONFIG) or is_file(folder / CHOICE)
    if begun and not resume:
        # A member of several runs is resumed together with the others.
        how = "the same words and --resume" if member else resumption(folder)
        raise UserError(
            f"{folder} already holds a run; go on with it by {how} or choose another folder"
        )
    if not begun and (others := [*files_of(folder), *folder.glob(f"{TRIALS}/*/{CONFIG}")]):
        raise UserError(
            f"{folder} holds {others[0].relative_to(folder)}, and no {CONFIG} says of which run it "
            "is; move it or choose another folder"
        )
    check_writable(folder)
    # Every place is checked now, because a failure later would cost an epoch.
    check_writable(folder / CHECKPOINTS)
    check_own([*own_files(folder), *_kept(folder)])


def check_kept(folder: Path, members: Sequence[Path], resume: bool) -> None:
    """Raise a UserError if a folder for several runs, and the best of them, cannot be used."""
    for member in members:
        check_free(member, resume, member=True)
    begun = resume and any(is_file(member / CONFIG) for member in members)
    # The runs may replace the folder's optimizer only if they exist and the folder has no own run.
    if is_file(folder / CONFIG) or not begun:
        check_free(folder, resume=False)


def files_of(folder: Path) -> list[Path]:
    """Return the files in a folder that bear a run's names."""
    return [*filter(is_file, own_files(folder)), *_kept(folder)]


def own_files(folder: Path) -> list[Path]:
    """Return the files that a run may write into a folder, but for its checkpoints below."""
    return [folder / name for name in OWN]


def _kept(folder: Path) -> list[Path]:
    paths = (folder / CHECKPOINTS).glob("epoch-*")
    return sorted(path for path in paths if re.fullmatch(CHECKPOINT, path.name))


def check_folder(folder: Path, problem_name: str, recipe: Recipe, resume: bool) -> None:
    """Raise a UserError if the folder holds a run that is not to be resumed, or another one."""
    check_free(folder, resume)
    if not (folder / CONFIG).exists():
        return
    if differing := differences(read_config(folder), problem_name, recipe):
        name, begun, asked = differing[0]
        raise UserError(
            f"{folder} belongs to another configuration: its {name} is {begun!r} and {asked!r} was "
            f"asked for; {resumption(folder)} goes on as it was begun, or choose another folder"
        )


def claim(
    folder: Path, problem_name: str, recipe: Recipe, resume: bool, origin: dict[str, Any]
) -> None:
    """Give the run a folder that this process holds; remove what a crash left unfinished."""
    # Only unfinished files of a run are removed; other hidden files belong to somebody else.
    for place, names in ((folder, _NAMES), (folder / CHECKPOINTS, CHECKPOINT)):
        for left_over in left_overs(place, names):
            left_over.unlink(missing_ok=True)
    # Checked again, as another process may have begun a run before this one had the lock.
    check_folder(folder, problem_name, recipe, resume)
    if not (folder / CONFIG).exists():
        config = {"problem": problem_name, "recipe": asdict(recipe), "origin": origin}
        write_json(folder / CONFIG, config)


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says of it: its problem's name, its recipe, and its origin."""
    if lost := as_path(folder):
        raise UserError(
            f"{lost} is no run folder, and on the Hub is no log of a run; try metadescent evaluate "
            f"{lost}, or name the folder that it was trained in"
        )
    try:
        # Reading a pipe would wait.
        if not is_file(folder / CONFIG):
            raise FileNotFoundError
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except PermissionError as error:
        raise read_error(folder / CONFIG, error) from error
    # A RecursionError comes from brackets that are nested a hundred thousand deep.
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder} is not a run folder: its {CONFIG} is missing or damaged"
        ) from error
    form = isinstance(config, dict) and isinstance(config.get("problem"), str)
    form = form and isinstance(config.get("recipe"), dict) and _is_origin(config.get("origin"))
    if not (form and _are_extensions(config.get("extended", []))):
        raise UserError(
            f"{folder / CONFIG} does not say what the run is: a name as problem and a table as "
            "recipe are expected; restore it or begin in another folder"
        )
    return config


def read_choice(folder: Path) -> dict[str, Any] | None:
    """Return the journal of a folder's choice of a recipe, None if none was begun."""
    path = folder / CHOICE
    if not is_file(path):
        return None
    kept = None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        whole = _is_choice(kept)
    except PermissionError as error:
        raise read_error(path, error) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged; restore it or begin in another folder")
    return kept


_ASKED = {"problem": str, "steps": int, "minutes": int | float, "seed": int}
_TABLES = ("look", "starts", "trials", "trial_plan", "sessions", "recipe")


def _is_choice(kept: Any) -> bool:
    """Tell whether a journal's values are of the right kinds; its tables are checked later."""
    asked, plan = kept["asked"], kept.get("trial_plan", {"seconds": 0, "until": 0})
    ends = [kept[name] for name in ("best", "kept") if name in kept]
    numbers = [kept.get("seconds", 0), plan["seconds"], plan["until"], *(r for _, r in ends)]
    return (
        all(isinstance(asked[name], kind) for name, kind in _ASKED.items())
        and _is_origin(kept.get("origin"))
        and all(isinstance(kept.get(name, {}), dict) for name in _TABLES)
        and all(isinstance(name, str) for name in [kept.get("chosen", ""), *(n for n, _ in ends)])
        and all(isinstance(x, int | float) for x in [*numbers, *kept.get("starts", {}).values()])
    )


def _is_origin(origin: Any) -> bool:
    tables = isinstance(origin, dict) and (origin.get("settings", {}), origin.get("versions", {}))
    # Runs of older versions have none.
    return origin is None or (
        bool(tables)
        and all(isinstance(origin.get(name, ""), str) for name in ("folder", "data_dir"))
        and all(isinstance(table, dict) for table in tables)
    )


def _are_extensions(extended: Any) -> bool:
    return isinstance(extended, list) and all(
        isinstance(table, dict) and all(type(number) is int for number in table.values())
        for table in extended
    )


def config_here(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run, with its files named as they are found from here."""
    config = read_config(folder)
    home = _home(config)
    if home == Path.cwd():
        return config
    recipe = {name: absolute(name, value, home) for name, value in config["recipe"].items()}
    return {**config, "problem": absolute("problem", config["problem"], home), "recipe": recipe}


def _home(config: dict[str, Any]) -> Path:
    """Return the folder that a run was begun in; for older versions the current one."""
    return Path((config.get("origin") or {}).get("folder") or Path.cwd())


def differences(config: dict[str, Any], problem: str, recipe: Recipe) -> list[tuple[str, Any, Any]]:
    """Return what two configurations differ in: the name, the folder's value, the other's."""
    # A choice that the version of the run did not have yet is at its default.
    begun = {"problem": config["problem"], **asdict(Recipe()), **config["recipe"]}
    asked = {"problem": problem, **asdict(recipe)}
    home = _home(config)
    return [
        (name, begun[name], asked[name])
        for name in asked
        if begun[name] != asked[name]
        and canonical(name, begun[name], home) != canonical(name, asked[name], Path.cwd())
    ]
