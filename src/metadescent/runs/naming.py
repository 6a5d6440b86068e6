"""What the choices of a recipe name, whatever folder they were written in, and however; no JAX."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent._names import located
from metadescent._spec import parse, renamed

SPECIFICATIONS = ("problem", "optimizer", "estimator", "logger")
LONGEST = 100
"""Bytes of a folder's name, of which filesystems take 255 and some, encrypted, 143."""
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³]|conin\$|conout\$)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever follows a dot."""


def folder_name(spec: str) -> str:
    """Return a name for the folder of what a specification names, as every filesystem takes it."""
    # Nor need a shell quote it: mnist(hidden=(20, 20)) + convex is mnist-hidden=20-20+convex.
    name = re.sub(r"\)*\s*\+\s*", "+", re.sub(r"['\"]|(?<==)[(\[{]", "", spec))
    name = re.sub(r"[^\w.=+-]+", "-", name)
    name = re.sub(r"^[-.]+|[-.]+$", "", name) or "run"
    name = f"run-{name}" if RESERVED.match(name) else name
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(spec.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{digest}"


def absolute(name: str, value: Any, home: Path) -> Any:
    """Return a choice with the whole path of what it names, where that lies in `home`."""
    if name == "init" and isinstance(value, str) and value:
        path = home / os.path.expanduser(value)
        return str(path.resolve()) if os.path.exists(path) else value
    if name in SPECIFICATIONS and ":" in str(value):
        return str(renamed(parse(str(value), home), lambda called: located(called, home)))
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
