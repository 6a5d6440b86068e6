"""What the choices of a recipe name, whatever folder they were written in, and however; no JAX."""

import hashlib
import os
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._names import located
from metadescent._spec import parse, renamed

SPECIFICATIONS = ("problem", "optimizer", "estimator")


def absolute(name: str, value: Any, home: Path) -> Any:
    """Return a choice with the whole path of what it names, where that lies in `home`."""
    if name == "init" and isinstance(value, str) and value:
        path = home / os.path.expanduser(value)
        return str(path.resolve()) if os.path.exists(path) else value
    if name in SPECIFICATIONS and ":" in str(value):
        return str(renamed(parse(str(value)), lambda called: located(called, home)))
    return value


def canonical(name: str, value: Any, home: Path) -> Any:
    """Return a choice so that two are equal if they name the same."""
    try:
        value = absolute(name, absolute(name, value, home), Path.cwd())
        named = name in SPECIFICATIONS and isinstance(value, str)
        return _plain(renamed(parse(value), _by_content)) if named else value
    except UserError:
        return value


def _by_content(name: str) -> str:
    """Return a name with the digest of its file, which may lie elsewhere now, for the path."""
    place, _, attribute = name.rpartition(":")
    if not os.path.isfile(place):
        return name
    return f"{hashlib.sha256(Path(place).read_bytes()).hexdigest()}:{attribute}"


def _plain(value: Any) -> Any:
    """Return a tree in which lists are as tuples, and names in any order."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [*map(_plain, value)] if isinstance(value, list | tuple) else value
