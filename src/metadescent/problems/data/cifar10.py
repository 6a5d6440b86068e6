"""CIFAR-10: 60,000 photographs of 32 × 32 pixels in red, green and blue, in ten classes.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009. The files are those of
the official binary version. A record of a file is one byte for the label and 1024 bytes for each
colour, row by row.
"""

import gzip
import hashlib
import lzma
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError, require_kind
from metadescent._files import is_file
from metadescent._text import short
from metadescent.problems.data import store

_ARCHIVE = store.Remote(
    "cifar10/cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_FOLDERS = ("cifar10", "cifar10/cifar-10-batches-bin", "", "cifar-10-batches-bin")
_RECORD = 1 + 3 * 32 * 32

_TEST, _START = "test_batch.bin", "test_batch_first1000.bin"
# How many images each file holds, and the MD5 of its bytes.
_FILES = {
    "data_batch_1.bin": (10_000, "5dd7e06a14cb22eb9f671a540d1b7c25"),
    "data_batch_2.bin": (10_000, "5ea93a67294ea407fff1d09f752e9692"),
    "data_batch_3.bin": (10_000, "942cd6a4bcdd0dd3c604fbe906cb4421"),
    "data_batch_4.bin": (10_000, "ae636b3ba5c66a11e91e8cb52e771fcb"),
    "data_batch_5.bin": (10_000, "53f37980c15c3d472c316c40844f3f0d"),
    _TEST: (10_000, "803d5f7f4d78ea53de84dbe85f74fb6d"),
    _START: (1000, "371f65da31ad652f5e24b3699a3e6515"),
}
# Each batch may be read from any of its files; the archive has the last of them.
_BATCHES: dict[int | str, tuple[str, ...]] = {
    **{n: (f"data_batch_{n}.bin",) for n in range(1, 6)},
    "test": (_TEST,),
    "test-first-1000": (_START, _TEST),
}


def load_cifar10(
    data_dir: Path | str | None = None, batches: Sequence[int | str] = (1, 2, 3, 4, 5)
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images, uint8 0 to 255 of shape (n, 32, 32, 3), and labels, int32 0 to 9, (n,).

    `batches` says which batches to load, and in which order. 1 to 5 are the training batches and
    "test" is the test batch; each has 10,000 images. "test-first-1000" is the start of the test
    batch. To hold images out, load `batches=(1, 2, 3, 4)` to train on and `batches=(5,)` apart from
    them. Rows run downwards, and the three values of a pixel are red, green and blue.

    A batch is looked for in `store.data_dir(data_dir)`, in its folder `cifar10`, and in a folder
    `cifar-10-batches-bin` of either. A file `data_batch_1.bin` is taken as it is, with any number
    of images. A file `data_batch_1.bin.gz` or `.xz` must unpack to the official batch. Missing
    batches are read from the official archive, or from another archive of the same batches. The
    archive is looked for as `store.fetch` does, and downloaded if it is missing. It is never
    unpacked on the disk.

    Raises:
        UserError: if a batch can be neither found nor downloaded, or is not what it should be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "data_batch_5.bin").write_bytes(bytes([7, *[0] * 3072]) * 2)
        ...     images, labels = load_cifar10(folder, batches=(5,))
        >>> images.shape, labels
        ((2, 32, 32, 3), array([7, 7], dtype=int32))
    """
    require_kind("batches", batches, Sequence, "a list or tuple of batches; try (1, 2)")
    unknown = [x for x in batches if not isinstance(x, int | str) or x not in _BATCHES]
    if unknown or not batches:
        what = f"{short(unknown[0])} is none of them" if unknown else "none was asked for"
        raise UserError(f"CIFAR-10 has the batches {', '.join(map(repr, _BATCHES))}, and {what}.")
    directory = store.data_dir(data_dir)
    paths = {batch: _find(directory, *_BATCHES[batch]) for batch in batches}
    # The archive is opened once for all batches that are nowhere else.
    packed = [_BATCHES[batch][-1] for batch in batches if paths[batch] is None]
    members = _unpack(directory, packed) if packed else {}
    parts = []
    for batch in batches:
        path, member = paths[batch], _BATCHES[batch][-1]
        content = members[member] if path is None else _read(path)
        # The start of the test batch may be cut from the whole test batch.
        end = _FILES[_START][0] * _RECORD if batch == "test-first-1000" else None
        parts.append(_decode(str(path or member), content[:end]))
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _find(directory: Path, *names: str) -> Path | None:
    """Return the first of some files that lies in the data folder, plain, as `.gz` or as `.xz`."""
    places = (
        directory / folder / (name + suffix)
        for name in names
        for folder in _FOLDERS
        for suffix in ("", ".gz", ".xz")
    )
    return next((place for place in places if is_file(place)), None)


def _read(path: Path) -> bytes:
    """Return the records in a file; a packed file must hold the official ones."""
    with store.reading(path):
        if path.suffix == ".bin":
            return path.read_bytes()
        with (lzma if path.suffix == ".xz" else gzip).open(path) as stream:
            return _official(stream.read(_enough(path.stem)), path.stem, str(path))


def _unpack(directory: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return the records in some files of the archive, by name; nothing is written to the disk."""
    try:
        # An archive on the disk is not checked as a whole, because each batch in it is checked.
        path = store.find(_ARCHIVE, directory)
    except UserError as error:
        # The start of the test batch is easily mistaken for the whole batch.
        start = _find(directory, _START)
        if _TEST not in names or start is None:
            raise
        raise UserError(
            f"{start} holds only the first 1000 images of the test batch, which "
            f"batches=('test-first-1000',) loads; for all of it, {error}"
        ) from error
    wanted, records = set(names), {}
    with store.reading(path), tarfile.open(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            # Links are left out: they lead elsewhere, or to themselves.
            if name in wanted and member.isreg() and (stream := archive.extractfile(member)):
                content = stream.read(_enough(name))
                records[name] = _official(content, name, f"{name} in {path}")
                wanted.remove(name)
            # A packed tar has no index, so going on would unpack the rest of it for nothing.
            if not wanted:
                return records
    missing = " and ".join(sorted(wanted))
    raise UserError(f"{path} is without {missing}: delete it so that it is fetched again.")


def _enough(name: str) -> int:
    """Return how many bytes to read of a file: one more than it has, so that a longer one shows."""
    return _FILES[name][0] * _RECORD + 1


def _official(content: bytes, name: str, source: str) -> bytes:
    md5, expected = hashlib.md5(content, usedforsecurity=False).hexdigest(), _FILES[name][1]
    if md5 != expected:
        raise UserError(
            f"{source} unpacks to bytes of MD5 {md5} where {expected} is expected: "
            "unpack it if it is meant, or delete it so that it is fetched again."
        )
    return content


def _decode(source: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    if not content or len(content) % _RECORD:
        raise UserError(
            f"{source} holds {len(content)} bytes where records of {_RECORD} bytes, and no part of "
            "one, are expected: it may have been cut off."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int32)
    outside = labels[labels > 9]
    if outside.size:
        raise UserError(f"{source} holds the label {outside[0]}, and labels run from 0 to 9.")
    # The networks take colours on the last axis.
    colours_first = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(colours_first.transpose(0, 2, 3, 1)), labels
