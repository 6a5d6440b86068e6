"""One optimizer as one safe file: φ by path and text metadata in a `.safetensors`.

The file names the optimizer's kind and options; the class comes from the package's own registry, or
from the caller, never from the file.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from metadescent import zoo
from metadescent._errors import UserError, require_kind
from metadescent._spec import groups_of, links, parse
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.registry import make_optimizer
from metadescent.zoo.arrays import load_arrays, save_arrays
from metadescent.zoo.cards import FORMAT, read_card


def save(path: str | Path, m: LearnedOptimizer, *, optimizer: str, **card: Any) -> None:
    """Write an optimizer to one file.

    Arguments:
        path: where; usually ends in `.safetensors`.
        m: the optimizer.
        optimizer: its specification, such as "lstm(layers=(20, 20))", for `load` to rebuild it.
        card: anything JSON can hold that its user should know: what it was trained on, the budget,
            the seed, validation and test figures.

    Raises:
        UserError: if an argument is of another kind, JSON cannot hold the card, or the file cannot
            be written.

    Example:
        >>> import jax, tempfile
        >>> from pathlib import Path
        >>> from metadescent.optimizers.lstm import LSTM
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "m.safetensors"
        ...     save(path, LSTM((4,), key=jax.random.key(0)), optimizer="lstm(layers=(4,))")
        ...     load(path).layers
        (4,)
    """
    require_kind("path", path, (str, Path), "a path; try 'mine.safetensors'")
    require_kind("m", m, LearnedOptimizer, "a metadescent.LearnedOptimizer; try LSTM(key=key)")
    require_kind("optimizer", optimizer, str, "a specification; try 'lstm(layers=(20, 20))'")
    metadata = {**card, "format": FORMAT, "optimizer": optimizer, "version": version("metadescent")}
    save_arrays(Path(path), eqx.filter(m, eqx.is_array), metadata)


def load(name: str | Path, *, make: Any = make_optimizer) -> LearnedOptimizer:
    """Return a pretrained optimizer by name, or one of your own by its file or run folder.

    Arguments:
        name: in the zoo, or a path.
        make: builds an optimizer from its specification and a key; the package's registry if not
            given. Hand in your own to load an optimizer whose class lives elsewhere.

    Raises:
        UserError: if the file is missing, truncated, foreign or from a newer format, or if a leaf
            does not fit; the sentence names it.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = load("quadratic-lstm").as_optax()
        >>> tx.init(jnp.zeros(10))[0][0].shape
        (20, 10)
    """
    path = zoo.path(name)
    spec = read_card(path)["optimizer"]
    rules = [one for _, several in groups_of(spec) for one in links(several)]
    outside = any(":" in parse(one)[0] for one in rules)
    if make is make_optimizer and outside:
        # A file may not say which code to import; only its reader may.
        raise UserError(
            f"{path} holds an optimizer of a class outside the package, {spec}; hand the class in: "
            "metadescent.load(path, make=lambda spec, key: …)"
        )
    skeleton = eqx.filter_eval_shape(make, spec, jax.random.key(0))
    arrays, static = eqx.partition(skeleton, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    phi, _ = load_arrays(path, arrays)
    return eqx.combine(phi, static)
