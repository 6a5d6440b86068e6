"""Photographs that need no download: they come with packages that are there anyway.

Matplotlib, which this package needs, has a portrait of Grace Hopper among its samples;
scikit-learn, which the extra `data` brings, has a temple in China and a flower.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from metadescent._errors import UserError


class Embedded(NamedTuple):
    """The package that a picture comes with, its place there, and what installs the package."""

    package: str
    place: str
    installed_by: str


EMBEDDED = {
    "china": Embedded("sklearn", "datasets/images/china.jpg", "metadescent[data]"),
    "flower": Embedded("sklearn", "datasets/images/flower.jpg", "metadescent[data]"),
    "grace_hopper": Embedded("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "matplotlib"),
}


def embedded_path(name: str) -> Path:
    """The file of an embedded picture.

    Raises `UserError` if it comes with a package that is not installed.

    Example:
        >>> embedded_path("grace_hopper").name
        'grace_hopper.jpg'
    """
    package, place, installed_by = EMBEDDED[name]
    found = _found(name)
    if found is None:
        raise UserError(
            f"the picture {name!r} comes with {package}, which has no {place} here; "
            f'try pip install "{installed_by}"'
        )
    return found


def embedded_names() -> list[str]:
    """The names of the embedded pictures that are there, sorted.

    Example:
        >>> "grace_hopper" in embedded_names()
        True
    """
    return [name for name in sorted(EMBEDDED) if _found(name)]


def _found(name: str) -> Path | None:
    """Find a file of a package without importing it, which would take long."""
    package, place, _ = EMBEDDED[name]
    spec = find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = (Path(folder, place) for folder in folders)
    return next((path for path in paths if path.is_file()), None)
