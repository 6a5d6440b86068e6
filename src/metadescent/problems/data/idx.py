"""The IDX format of the MNIST files: a magic number, the sizes, the values, all big-endian.

    bytes 0-1    zero
    byte  2      the type of the values (8: unsigned bytes)
    byte  3      the number of dimensions d
    4 d bytes    the sizes, unsigned
    then         the values, the last dimension fastest

Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits".
"""

import math
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError, require_kind
from metadescent.problems.data import store

_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MOST_DIMENSIONS = 8
_CHUNK = 1 << 20


def read_idx(path: Path | str) -> NDArray[Any]:
    """Return the array in one IDX file, plain or compressed with gzip or xz, whatever its name.

    The shape and the type are those in the file; the byte order is the machine's. Reading stops at
    the end of the file, or one byte after the size that its header declares; in a compressed file
    it also stops after 1 GiB. No more memory than that is allocated.

    Arguments:
        path: the path of the file.

    Raises:
        UserError: if the file cannot be read, does not start as IDX does, holds fewer or more bytes
            than its header declares, or unpacks to more than 1 GiB.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "two-by-three")
        ...     _ = file.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6)))
        ...     read_idx(file)
        array([[0, 1, 2],
               [3, 4, 5]], dtype=uint8)
    """
    require_kind("path", path, (str, Path), "the path of an IDX file; try 'digits.gz'")
    path = Path(path)
    with store.reading(path), store.unpacking(path) as stream:
        return _read(stream, path)


def _read(stream: BufferedIOBase, path: Path) -> NDArray[Any]:
    # The four bytes are zero, zero, the type and the number of dimensions.
    magic = stream.read(4)
    valid = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _DTYPES
    if not (valid and 1 <= magic[3] <= _MOST_DIMENSIONS):
        raise UserError(
            f"{path} is not an IDX file: it starts with the bytes {magic.hex(' ') or '(none)'} "
            "where 00 00, a type from 08 to 0e and the number of dimensions are expected."
        )
    dtype, dimensions = np.dtype(_DTYPES[magic[2]]), magic[3]
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise UserError(
            f"{path} ends within its header: expected {4 + 4 * dimensions} bytes, "
            f"found {4 + len(sizes)}."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    # A plain file cannot be longer than it is, but a packed file may unpack to any length.
    most = expected if isinstance(stream, BufferedReader) else min(expected, store.MOST_BYTES)
    values = _read_at_most(stream, most + 1)
    if most < len(values) <= expected:
        raise UserError(f"{path} unpacks to more than {most:,} bytes; unpack it if it is meant to")
    if len(values) != expected:
        # At most one byte more than expected was read, so the length of a longer file is unknown.
        count = f"{len(values)}" if len(values) < expected else f"at least {len(values)}"
        raise UserError(
            f"{path} does not fit its header: expected {expected} bytes for shape {shape} of "
            f"{dtype.name}, found {count}."
        )
    try:
        array = np.frombuffer(values, dtype).reshape(shape)
    except ValueError as error:  # sizes like 0 x 2^32 x 2^32: no bytes, yet beyond NumPy's range
        raise UserError(f"{path} has a shape that no array can have: {shape}.") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_at_most(stream: BufferedIOBase, limit: int) -> bytearray:
    # A single read(limit) would allocate all that a wrong header declares before it reads.
    values = bytearray()
    while len(values) < limit and (chunk := stream.read(min(_CHUNK, limit - len(values)))):
        values += chunk
    return values
