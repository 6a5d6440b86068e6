"""A safetensors file as it lies on disk: named tensors and one JSON text; no framework."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, deserialize

from metadescent.errors import UserError
from metadescent.files import read_bytes

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


class Tensor(NamedTuple):
    """One leaf: the name of its dtype, such as "float32", its shape, and its bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | bytearray


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata alone; raises a UserError where the file is not one of ours."""
    return _metadata(path, read_bytes(path))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return every leaf by its path, and the metadata.

    Raises:
        UserError: if the file is missing, truncated or foreign.
    """
    data = read_bytes(path)
    metadata = _metadata(path, data)
    try:
        found = {
            name: Tensor(_DTYPES[leaf["dtype"]], tuple(leaf["shape"]), leaf["data"])
            for name, leaf in deserialize(data)
        }
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}); copy it again or retrain the optimizer"
        ) from error
    return found, metadata


def require_fit(
    path: Path,
    found: Mapping[str, Tensor],
    expected: Mapping[str, tuple[str, tuple[int, ...]]],
) -> None:
    """Check that a file has the expected leaves, each of its dtype and shape, and no other.

    Raises:
        UserError: if a leaf is missing, unexpected, or of another shape or dtype; the sentence
            names it.
    """
    for name in [*expected, *found]:
        if name not in found:
            raise UserError(f"{path} lacks the leaf {name!r}; it was saved from something else")
        if name not in expected:
            raise UserError(
                f"{path} has an unexpected leaf {name!r}; it was saved from something else"
            )
        got, (dtype, shape) = found[name], expected[name]
        if (got.dtype, got.shape) != (dtype, shape):
            raise UserError(
                f"leaf {name!r} of {path} is {got.dtype}{list(got.shape)} where "
                f"{dtype}{list(shape)} is expected; it was saved from something else"
            )


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
