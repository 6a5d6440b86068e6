"""What a run's folder says of it, whoever wrote it: each file is checked as it is read; no JAX."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from metadescent._errors import UserError
from metadescent._files import is_file, read_error
from metadescent._text import short
from metadescent.runs.recipe import Recipe

CONFIG = "config.json"
METRICS = "metrics.jsonl"
STOPPED = "stopped.json"
_NEEDED = ("epoch", "meta_loss", "gradient_norm", "validation_loss", "best_loss", "seconds")


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says it is: {"problem": its name, "recipe": {choice: value}}.

    Raises:
        UserError: if there is no such file, or it may not be read, is damaged or not of that form.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except PermissionError as error:
        raise read_error(folder / CONFIG, error) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder} is not a run folder: its config.json is missing or damaged"
        ) from error
    form = isinstance(config, dict) and isinstance(config.get("problem"), str)
    if not (form and isinstance(config.get("recipe"), dict)):
        raise UserError(
            f"{folder / CONFIG} does not say what the run is: a name as problem and a table as "
            "recipe are expected; restore it or begin in another folder"
        )
    return config


def recipe_from(choices: dict[str, Any], source: object) -> Recipe:
    """Return a recipe from its choices by name, as JSON has them; what is left out is the default.

    Raises:
        UserError: if there is no such choice, or it has no such value; the sentence names `source`.

    Example:
        >>> recipe_from({"epochs": 3}, "config.json").epochs
        3
    """
    kinds = {field.name: field.type for field in fields(Recipe)}
    for name, value in choices.items():
        if name not in kinds:
            raise UserError(
                f"{source} has a choice {name!r} that no recipe has; try a newer metadescent"
            )
        if not _is_a(value, kinds[name]):
            wanted = getattr(kinds[name], "__name__", str(kinds[name]))
            if get_origin(kinds[name]) is Literal:
                wanted = " or ".join(map(repr, get_args(kinds[name])))
            raise UserError(
                f"{name} in {source} is {short(value)} where {wanted} is expected; restore the "
                "file or begin in another folder"
            )
    # JSON writes 1.0 as it likes.
    exact: dict[str, Any] = {
        name: float(value) if kinds[name] is float else value for name, value in choices.items()
    }
    return Recipe(**exact)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return what a run has logged, a dictionary of numbers an epoch.

    Raises:
        UserError: if a line is damaged; the sentence says which.
    """
    path = folder / METRICS
    if not is_file(path):
        return []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise read_error(path, error) from error
    return [_line(path, number, text) for number, text in enumerate(lines, 1)]


def read_stopped(folder: Path) -> dict[str, Any] | None:
    """Return where the meta-loss of a run ceased to be finite, None if it did not."""
    path = folder / STOPPED
    if not is_file(path):
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: int(found[name]) for name in ("epoch", "meta_step")}
    except PermissionError as error:
        raise read_error(path, error) from error
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged: whole numbers as epoch and meta_step are expected; remove it"
        ) from error


def differences(config: dict[str, Any], problem: str, recipe: Recipe) -> list[tuple[str, Any, Any]]:
    """Return what differs between a folder's configuration and another: name, there, here."""
    # A choice that the run's own version did not have yet is at its default.
    there = {"problem": config["problem"], **asdict(Recipe()), **config["recipe"]}
    here = {"problem": problem, **json.loads(json.dumps(asdict(recipe)))}
    return [(name, there.get(name), here[name]) for name in here if there.get(name) != here[name]]


def _line(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
        needed = isinstance(line, dict) and all(_is_a(line[name], float) for name in _NEEDED)
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
        return isinstance(value, list) and all(_is_a(norm, float) for norm in value)
    return value is None or _is_a(value, float)


def _is_a(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is float:
        # JSON may have whole numbers that no float holds.
        return type(value) is float or (type(value) is int and abs(value) < 1e308)
    return type(value) is kind
