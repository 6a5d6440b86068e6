"""Pytrees of arrays to and from one safetensors file; loading runs no code from the file."""

import json
import struct
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as save_safetensors

from metadescent.errors import UserError
from metadescent.files import write_atomically

_DTYPES = {
    "BOOL": "bool",
    "BF16": "bfloat16",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    **{
        f"{sign}{bits}": f"{word}{bits}"
        for sign, word in (("I", "int"), ("U", "uint"))
        for bits in (8, 16, 32, 64)
    },
}


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
    text = {"metadescent": json.dumps(metadata, ensure_ascii=False)}
    write_atomically(path, save_safetensors(named, metadata=text))


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata alone; raises a UserError where the file is not one of ours."""
    return _metadata(path, _read(path))


def load_arrays(path: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """Read a pytree of the same structure, shapes and dtypes as `like`, and the metadata.

    Raises:
        UserError: if the file is missing, truncated or foreign, or a leaf is missing, unexpected,
            or of another shape or dtype; the sentence names the leaf.
    """
    data = _read(path)
    metadata = _metadata(path, data)
    try:
        found = {
            name: np.frombuffer(leaf["data"], jnp.dtype(_DTYPES[leaf["dtype"]])).reshape(
                leaf["shape"]
            )
            for name, leaf in deserialize(data)
        }
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}); copy it again or retrain the optimizer"
        ) from error
    expected = dict(_by_path(like))
    for name in [*expected, *found]:
        if name not in found:
            raise UserError(f"{path} lacks the leaf {name!r}; it was saved from something else")
        if name not in expected:
            raise UserError(
                f"{path} has an unexpected leaf {name!r}; it was saved from something else"
            )
        got, want = found[name], expected[name]
        if got.shape != want.shape or got.dtype != want.dtype:
            raise UserError(
                f"leaf {name!r} of {path} is {got.dtype}{list(got.shape)} where "
                f"{want.dtype}{list(want.shape)} is expected; it was saved from something else"
            )
    treedef = jax.tree.structure(like)
    return treedef.unflatten(jnp.asarray(found[name]) for name in expected), metadata


def path_of(keys: tuple[Any, ...]) -> str:
    """Return the path that JAX has for a leaf as one text; "value" for a tree that is a leaf.

    Example:
        >>> tree = {"conv": [{"w": 0.0}]}
        >>> [path_of(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(tree)]
        ['conv/0/w']
    """
    return jax.tree_util.keystr(keys, simple=True, separator="/") or "value"


def _by_path(tree: PyTree) -> list[tuple[str, Any]]:
    return [(path_of(keys), leaf) for keys, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error


def _metadata(path: Path, data: bytes) -> dict[str, Any]:
    foreign = UserError(
        f"{path} is not a file that metadescent wrote; it must be a .safetensors of an optimizer"
    )
    if len(data) < 8:
        raise foreign
    (size,) = struct.unpack("<Q", data[:8])
    if size > len(data) - 8:
        raise UserError(
            f"{path} is truncated or not a .safetensors: its header claims {size:,} bytes and "
            f"{len(data) - 8:,} follow; copy it again or retrain the optimizer"
        )
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = json.loads(header["__metadata__"]["metadescent"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise foreign from error
    if not isinstance(metadata, dict):
        raise foreign
    return metadata
