"""The names in a recipe's choices, independent of the folder and the way of writing; no JAX."""

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
"""Bytes of a folder's name. Filesystems allow 255 and some, if encrypted, only 143."""
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³]|conin\$|conout\$)(\.|$)", re.IGNORECASE)
"""Names that Windows reserves for devices, with any suffix."""


def folder_name(spec: str) -> str:
    """Return a folder's name for a specification that every filesystem accepts."""
    # A shell need not quote it: mnist(hidden=(20, 20)) + convex is mnist-hidden=20-20+convex.
    name = re.sub(r"\)*\s*\+\s*", "+", re.sub(r"['\"]|(?<==)[(\[{]", "", spec))
    name = re.sub(r"[^\w.=+-]+", "-", name)
    name = re.sub(r"^[-.]+|[-.]+$", "", name) or "run"
    name = f"run-{name}" if RESERVED.match(name) else name
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(spec.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{digest}"


def absolute(name: str, value: Any, home: Path) -> Any:
    """Return a choice with the whole path of the file that it names, if that is in `home`."""
    if name == "init" and isinstance(value, str) and value:
        path = home / os.path.expanduser(value)
        return str(path.resolve()) if os.path.exists(path) else value
    if name in SPECIFICATIONS and ":" in str(value):
        return str(renamed(parse(str(value), home), lambda called: located(called, home)))
    return value


def canonical(name: str, value: Any, home: Path) -> Any:
    """Return a choice in a form in which two are equal if they name the same thing."""
    try:
        value = absolute(name, absolute(name, value, home), Path.cwd())
        named = name in SPECIFICATIONS and isinstance(value, str)
        return _plain(renamed(parse(value), _by_content)) if named else value
    except UserError:
        return value


def _by_content(name: str) -> str:
    """Return a name with the digest of its file in place of the path, as files may move."""
    place, _, attribute = name.rpartition(":")
    if not os.path.isfile(place):
        return name
    return f"{hashlib.sha256(Path(place).read_bytes()).hexdigest()}:{attribute}"


def _plain(value: Any) -> Any:
    """Return a tree with tuples for lists, and with names in a fixed order."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [*map(_plain, value)] if isinstance(value, list | tuple) else value
