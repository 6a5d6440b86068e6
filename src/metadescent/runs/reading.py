"""The files that are read for the name of an optimizer, run, problem or estimator; no JAX."""

import ast
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._files import LOCK
from metadescent._spec import calls, parse
from metadescent.runs.folder import CONFIG, files_of, own_files
from metadescent.zoo.hub_names import on_hub


def files_named(name: str) -> list[Path]:
    """Return the files that are read for a name; for a run, also those that do not exist yet."""
    place = Path(os.path.expanduser(name))
    if on_hub(name):
        return []  # they are in the cache, where no result is written
    if name and os.path.isdir(place):
        # The runs of several seeds or stages are in a common folder.
        runs = [place, *sorted(path.parent for path in place.glob(f"*/{CONFIG}"))]
        return [f for run in runs for f in (*own_files(run), run / LOCK, *files_of(run))]
    if name and os.path.exists(place):
        beside = own_files(place.parent) if os.path.isfile(place.parent / CONFIG) else []
        return [place, *beside]
    files: list[Path] = []
    with suppress(UserError):
        for call in calls(parse(name)):
            files += map(Path, filter(os.path.isfile, _texts(call.options)))
            module = os.path.expanduser(call.name.rpartition(":")[0])
            is_path = module.endswith(".py")
            for path in [Path(module)] if is_path else _sources(Path(), module):
                files += _program(path, {})
    return files


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a literal."""
    if isinstance(value, str):
        yield os.path.expanduser(value)
    elif isinstance(value, dict | list | tuple | set):
        for inner in [*value.values()] if isinstance(value, dict) else value:
            yield from _texts(inner)


def _sources(folder: Path, module: str) -> list[Path]:
    """Return the files of a module and of its packages, as far as they are in a folder."""
    parts = [part for part in module.split(".") if part]
    places = [folder.joinpath(*parts[: k + 1]) for k in range(len(parts))]
    files = [file for place in places for file in (Path(f"{place}.py"), place / "__init__.py")]
    return [*filter(os.path.isfile, files)]


def _program(path: Path, known: dict[Path, None]) -> list[Path]:
    """Return a Python file, and all files that it imports from its own folder."""
    if path in known:
        return []
    known[path] = None
    imported: list[str] = []
    with suppress(OSError, SyntaxError, ValueError, RecursionError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            if isinstance(node, ast.ImportFrom):
                imported += [f"{node.module or ''}.{name}" for name in names]
            elif isinstance(node, ast.Import):
                imported += names
    for name in imported:
        for file in _sources(path.parent, name):
            _program(file, known)
    return [*known]
