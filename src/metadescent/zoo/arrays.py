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
    """Write the arrays of a pytree, each by its path, with metadata as JSON, atomically."""
    named = {name: np.asarray(leaf, order="C") for name, leaf in _by_path(tree)}
    # The checksum comes first, so that nothing else in the metadata can be taken for its place.
    try:
        text = json.dumps({CHECKSUM: NO_CHECKSUM, **metadata}, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"JSON cannot hold what {path} is to say ({error}); give texts, numbers, lists and "
            "dictionaries"
        ) from error
    write_atomically(path, sealed(save_safetensors(named, metadata={"metadescent": text})))


def load_arrays(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read a pytree with the structure, shapes and kinds of `like`, and the metadata.

    Numbers have as many bits as in the file, or as JAX has now, if that is fewer.
    """
    tensors, metadata = read_tensors(path)
    expected = dict(_by_path(like))
    require_fit(path, tensors, {n: (str(x.dtype), tuple(x.shape)) for n, x in expected.items()})
    treedef = jax.tree.structure(like)
    # By path, because the order of the leaves in the file may be another.
    return treedef.unflatten(_array(tensors[name]) for name in expected), metadata


def _by_path(tree: PyTree) -> list[tuple[str, Any]]:
    return [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _array(tensor: Tensor) -> Array:
    array = np.frombuffer(tensor.data, jnp.dtype(tensor.dtype)).reshape(tensor.shape)
    # JAX would cut numbers to 32 bits in any case, but with a warning for each.
    return jnp.asarray(array.astype(jax.dtypes.canonicalize_dtype(array.dtype)))
