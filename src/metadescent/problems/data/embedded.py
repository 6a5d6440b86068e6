"""Photographs that need no download: they come with packages that are installed anyway.

Matplotlib, which this package needs, has a portrait of Grace Hopper among its samples.
scikit-learn, which the extra `data` installs, has a temple in China and a flower.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from metadescent._errors import UserError


class Embedded(NamedTuple):
    """The package that a picture comes with, its path in it, and what installs the package."""

    package: str
    place: str
    installed_by: str


EMBEDDED = {
    "china": Embedded("sklearn", "datasets/images/china.jpg", "scikit-learn"),
    "flower": Embedded("sklearn", "datasets/images/flower.jpg", "scikit-learn"),
    "grace_hopper": Embedded("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "matplotlib"),
}


def embedded_path(name: str) -> Path:
    """Return the file of an embedded picture, whose package must be installed."""
    package, place, installed_by = EMBEDDED[name]
    path = _installed(name)
    if path is None:
        raise UserError(
            f"the picture {name!r} comes with {package}, which has no {place} here; "
            f"try pip install {installed_by}"
        )
    return path


def embedded_names() -> list[str]:
    """Return the names of the embedded pictures that are installed, sorted."""
    return [name for name in sorted(EMBEDDED) if _installed(name)]


def _installed(name: str) -> Path | None:
    package, place, _ = EMBEDDED[name]
    # Unlike an import this takes no time. A package may have several folders, or none.
    spec = find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = (Path(folder, place) for folder in folders)
    return next((path for path in paths if path.is_file()), None)
