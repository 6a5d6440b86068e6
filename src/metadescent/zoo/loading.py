"""An optimizer of the zoo, or of one's own, as a `LearnedOptimizer`."""

from pathlib import Path

from metadescent.artifact import load as load_file
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.zoo import path


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
