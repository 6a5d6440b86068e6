"""The pretrained optimizers by name: their files and their cards; no JAX."""

import os
from pathlib import Path
from typing import Any

from metadescent import _show
from metadescent._errors import UserError, require_kind
from metadescent._files import is_file
from metadescent._text import nearest

FOLDER = Path(__file__).parent / "pretrained"


class Card(str):
    """A card, in Markdown; a notebook shows it with the validation losses as a picture."""

    @property
    def name(self) -> str:
        """Return whose card it is: its first line says."""
        return self.splitlines()[0].removeprefix("# ")

    def plot(self) -> Any:
        """Return a figure of the validation loss, epoch by epoch."""
        return _show.plot(self)

    def _repr_html_(self) -> str:
        return _show.html(self)


def names() -> list[str]:
    """Return the names of the pretrained optimizers.

    Example:
        >>> "quadratic-lstm" in names()
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def path(name: str | Path) -> Path:
    """Return the file of an optimizer, given its name in the zoo or a path of its own.

    A run folder stands for the `optimizer.safetensors` in it.

    Raises:
        UserError: if it is neither, or in a folder that may not be read.

    Example:
        >>> path("mnist-lstm").name
        'mnist-lstm.safetensors'
    """
    require_kind("optimizer", name, (str, Path), "a name in the zoo or a path; try 'mnist-lstm'")
    if str(name) in names():
        return FOLDER / f"{name}.safetensors"
    given = Path(os.path.expanduser(name))
    if not is_file(given):
        given = given / "optimizer.safetensors"
    if is_file(given):
        return given
    raise UserError(
        f"there is no pretrained optimizer and no file {str(name)!r}; {nearest(str(name), names())}"
    )


def card(name: str) -> Card:
    """Return the card of the pretrained optimizer `name`, in Markdown: its purpose and its making.

    Raises:
        UserError: if there is no such optimizer.

    Example:
        >>> card("mnist-lstm").splitlines()[0]
        '# mnist-lstm'
    """
    require_kind("optimizer", name, str, "a name in the zoo; try 'mnist-lstm'")
    # Looked up first, as a card is a file and a name could lead out of the folder.
    if name not in names():
        raise UserError(f"there is no pretrained optimizer {name!r}; {nearest(name, names())}")
    return Card((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
