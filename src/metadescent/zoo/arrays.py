"""Pytrees of arrays to and from one safetensors file; loading runs no code from the file."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree
from safetensors.numpy import save as save_safetensors

from metadescent._errors import UserError
from metadescent._files import write_atomically
from metadescent._tree import path_of
from metadescent.zoo.tensors import CHECKSUM, NO_CHECKSUM, Tensor, read_tensors, require_fit, sealed


def save_arrays(path: Path, tree: PyTree, metadata: dict[str, Any]) -> None:
    """Write the arrays of a pytree, each by its path, with metadata as JSON, atomically.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "x.safetensors"
        ...     save_arrays(path, {"a": jnp.ones(2)}, {"n": 1})
        ...     tree, metadata = load_arrays(path, {"a": jnp.zeros(2)})
        >>> tree["a"].tolist(), metadata
        ([1.0, 1.0], {'n': 1})
    """
    named = {name: np.asarray(leaf, order="C") for name, leaf in _by_path(tree)}
    # First, so that nothing else in the metadata can be taken for it.
    try:
        text = json.dumps({CHECKSUM: NO_CHECKSUM, **metadata}, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"JSON cannot hold what {path} is to say ({error}); give texts, numbers, lists and "
            "dictionaries"
        ) from error
    write_atomically(path, sealed(save_safetensors(named, metadata={"metadescent": text})))


def load_arrays(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read a pytree of the same structure, shapes and dtypes as `like`, and the metadata.

    Raises:
        UserError: if the file is missing, truncated or foreign, or a leaf is missing, unexpected,
            or of another shape or dtype; the sentence names the leaf.
    """
    found, metadata = read_tensors(path)
    expected = dict(_by_path(like))
    require_fit(path, found, {n: (str(x.dtype), tuple(x.shape)) for n, x in expected.items()})
    treedef = jax.tree.structure(like)
    return treedef.unflatten(_array(found[name]) for name in expected), metadata


def _by_path(tree: PyTree) -> list[tuple[str, Any]]:
    return [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _array(tensor: Tensor) -> Array:
    flat = np.frombuffer(tensor.data, jnp.dtype(tensor.dtype))
    return jnp.asarray(flat.reshape(tensor.shape))
