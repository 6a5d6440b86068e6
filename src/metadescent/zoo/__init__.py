"""Pretrained optimizers that ship with the package, `<name>.safetensors`, and their cards."""

from pathlib import Path

from metadescent.artifact import load as load_file
from metadescent.errors import UserError
from metadescent.optimizer import LearnedOptimizer
from metadescent.registry import nearest

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the pretrained optimizers.

    Example:
        >>> "quadratic-lstm" in names()
        True
    """
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def path(name: str | Path) -> Path:
    """Return the file of an optimizer, given its name in the zoo or a path of its own.

    A run folder stands for the `optimizer.safetensors` in it.

    Raises:
        UserError: if it is neither.
    """
    if str(name) in names():
        return _FOLDER / f"{name}.safetensors"
    given = Path(name)
    if given.is_dir():
        given = given / "optimizer.safetensors"
    if given.is_file():
        return given
    raise UserError(
        f"there is no pretrained optimizer and no file {str(name)!r}; {nearest(str(name), names())}"
    )


def load(name: str | Path) -> LearnedOptimizer:
    """Return a pretrained optimizer by name, or one of your own by its file or run folder.

    Raises:
        UserError: if there is no such optimizer, or its file does not fit; the sentence names the
            leaf.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = load("quadratic-lstm").as_optax()
        >>> tx.init(jnp.zeros(10))[0][0].shape
        (20, 10)
    """
    return load_file(path(name))


def card(name: str) -> str:
    """Return the card of a pretrained optimizer: what it is for, and how it was made."""
    return (_FOLDER / f"{name}.md").read_text()
