"""A safetensors file as it is on disk: named tensors and one JSON text; no framework."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, deserialize

from metadescent._errors import UserError
from metadescent._files import read_bytes

# A dtype's name in safetensors, and its name in NumPy and JAX.
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

CHECKSUM = "sha256"
"""The metadata's entry for the SHA-256 of the file, computed with zeros in its place."""
NO_CHECKSUM = "0" * 64


class Tensor(NamedTuple):
    """One leaf: the name of its dtype, such as "float32", its shape, and its bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | bytearray


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata alone; raise a UserError if the file is not one of ours."""
    metadata = _metadata(path, read_bytes(path))
    metadata.pop(CHECKSUM, None)
    return metadata


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return every leaf by its path, and the metadata; raise a UserError if anything is wrong."""
    data = read_bytes(path)
    metadata = _metadata(path, data)
    try:
        tensors = {
            name: Tensor(_DTYPES[leaf["dtype"]], tuple(leaf["shape"]), leaf["data"])
            for name, leaf in deserialize(data)
        }
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}); copy it again or retrain the optimizer"
        ) from error
    _check(path, data, metadata.pop(CHECKSUM, None))
    return tensors, metadata


def sealed(data: bytes) -> bytes:
    """Return a file that was written with `NO_CHECKSUM` with its checksum in this place."""
    # The header comes first, so the first match is not in the arrays.
    return data.replace(NO_CHECKSUM.encode(), _digest(data), 1)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _check(path: Path, data: bytes, expected: Any) -> None:
    # Older files have no checksum and are accepted.
    if expected is None:
        return
    digest = _digest(data.replace(str(expected).encode(), NO_CHECKSUM.encode(), 1)).decode()
    if digest != expected:
        raise UserError(
            f"{path} is damaged: its SHA-256 is {digest[:12]}… where {str(expected)[:12]}… was "
            "written; copy it again or retrain the optimizer"
        )


def require_fit(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """Check that a file has the expected leaves, each of its shape and kind, and no other.

    The number of bits is the file's choice, because what it would be now depends on JAX's current
    settings.
    """
    for name in [*expected, *tensors]:
        if name not in tensors:
            raise UserError(f"{path} lacks the leaf {name!r}; it was saved from something else")
        if name not in expected:
            raise UserError(
                f"{path} has an unexpected leaf {name!r}; it was saved from something else"
            )
        leaf, (dtype, shape) = tensors[name], expected[name]
        dtype = leaf.dtype if _kind(leaf.dtype) == _kind(dtype) else dtype
        if (leaf.dtype, leaf.shape) != (dtype, shape):
            raise UserError(
                f"leaf {name!r} of {path} is {leaf.dtype}{list(leaf.shape)} where "
                f"{dtype}{list(shape)} is expected; it was saved from something else"
            )


def _kind(dtype: str) -> str:
    """Return a dtype's name without its bits: "float", "int", "uint" or "bool"."""
    return dtype.removeprefix("b").rstrip("0123456789") if dtype != "bool" else dtype


def _metadata(path: Path, data: bytes) -> dict[str, Any]:
    foreign = UserError(
        f"{path} is not a file that metadescent wrote; it must be a .safetensors of an optimizer"
    )
    if len(data) < 8:
        raise foreign
    (size,) = struct.unpack("<Q", data[:8])
    # Nothing beyond the file's end is read or allocated, whatever the header claims.
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
