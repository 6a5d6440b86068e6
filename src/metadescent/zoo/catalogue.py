"""Optimizers by name: the pretrained ones, the user's own, and those on the Hub; no JAX."""

import os
from pathlib import Path
from typing import Any

from metadescent import _show
from metadescent._errors import UserError, require_kind
from metadescent._files import is_file
from metadescent._text import nearest
from metadescent.zoo.hub import from_hub
from metadescent.zoo.hub_names import as_path, on_hub

FOLDER = Path(__file__).parent / "pretrained"


class Card(str):
    """A card, in Markdown; a notebook shows it with the validation losses as a picture."""

    @property
    def name(self) -> str:
        """Return the name of the card's optimizer, from its first line."""
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
    """Return the file of an optimizer, given by its name in the zoo, its path or its Hub name.

    A run folder stands for the `optimizer.safetensors` in it. `hf://user/repo` is fetched from the
    Hugging Face Hub into its cache, and nothing else needs a network.

    Raises:
        UserError: if it is none of these, in a folder that may not be read, or not to be had from
            the Hub.

    Example:
        >>> path("mnist-lstm").name
        'mnist-lstm.safetensors'
    """
    require_kind("optimizer", name, (str, Path), "a name in the zoo or a path; try 'mnist-lstm'")
    if on_hub(name):
        return from_hub(str(name)).path
    if str(name) in names():
        return FOLDER / f"{name}.safetensors"
    given = Path(os.path.expanduser(name))
    if not is_file(given):
        given = given / "optimizer.safetensors"
    if is_file(given):
        return given
    if lost := as_path(name):
        raise UserError(f"{str(name)!r} is a path; write it as text, {lost!r}")
    raise UserError(
        f"there is no pretrained optimizer and no file {str(name)!r}; {nearest(str(name), names())}"
    )


def pinned(name: str | Path) -> str | Path:
    """Return a name that will always stand for the file that it stands for now.

    A file on the Hub is fetched, and the name gets its commit as the revision. Any other `name` is
    returned unchanged.

    Raises:
        UserError: if it is not to be had from the Hub.

    Example:
        >>> pinned("mnist-lstm")
        'mnist-lstm'
    """
    return from_hub(name).name if isinstance(name, str) and on_hub(name) else name


def card(name: str) -> Card:
    """Return the card of the pretrained optimizer `name`, in Markdown: its purpose and training.

    Raises:
        UserError: if there is no such optimizer.

    Example:
        >>> card("mnist-lstm").splitlines()[0]
        '# mnist-lstm'
    """
    require_kind("optimizer", name, str, "a name in the zoo; try 'mnist-lstm'")
    # The name is checked first, as a card is a file and a name could lead out of the folder.
    if name not in names():
        raise UserError(f"there is no pretrained optimizer {name!r}; {nearest(name, names())}")
    return Card((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
