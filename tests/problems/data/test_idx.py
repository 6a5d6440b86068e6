"""The IDX reader: what is written is what is read, and a file that lies is named."""

import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.problems.data import read_idx

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
COMPRESS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, lzma.compress]


def idx(array: np.ndarray, dtype: str = "u1") -> bytes:
    header = bytes([0, 0, CODES[dtype], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(dtype).tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def sentence(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_idx(path)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize("compress", COMPRESS)
def test_round_trip_whatever_the_name(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a-name-that-says-nothing.bin"
    path.write_bytes(compress(idx(IMAGES)))
    read = read_idx(str(path))
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, IMAGES)


@pytest.mark.parametrize("dtype", CODES)
def test_every_type_in_native_byte_order(tmp_path: Path, dtype: str) -> None:
    values = np.array([[-3, 0, 100]]) if dtype != "u1" else np.array([[3, 0, 200]])
    (tmp_path / "file").write_bytes(idx(values, dtype))
    read = read_idx(tmp_path / "file")
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, values)


def test_no_items(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(idx(np.zeros((0, 28, 28))))
    assert read_idx(tmp_path / "file").shape == (0, 28, 28)


@pytest.mark.parametrize("compress", COMPRESS)
def test_too_short(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    assert sentence(tmp_path, compress(idx(IMAGES)[:-5])) == (
        "FILE does not fit its header: expected 24 bytes for shape (2, 3, 4) of uint8, found 19."
    )


@pytest.mark.parametrize("compress", COMPRESS)
def test_too_long(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    assert sentence(tmp_path, compress(idx(IMAGES) + bytes(9))) == (
        "FILE does not fit its header: expected 24 bytes for shape (2, 3, 4) of uint8, "
        "found at least 25."
    )


@pytest.mark.parametrize("compress", COMPRESS)
def test_a_lying_header_allocates_nothing(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    lie = bytes([0, 0, 8, 3]) + 12 * b"\xff" + b"abc"
    assert "expected 79228162458924105385300197375 bytes" in sentence(tmp_path, compress(lie))


@pytest.mark.parametrize("compress", COMPRESS[1:])
def test_a_bomb_is_not_unpacked(
    tmp_path: Path, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metadescent.problems.data.store.MOST_BYTES", 1 << 16)
    header = bytes([0, 0, 8, 1, 0x7F, 0, 0, 0])
    assert sentence(tmp_path, compress(header + bytes(1 << 20))) == (
        "FILE unpacks to more than 65,536 bytes; unpack it if it is meant to"
    )
    whole = bytes([0, 0, 8, 1, 0, 1, 0, 0]) + bytes(1 << 16)
    (tmp_path / "whole").write_bytes(compress(whole))
    assert read_idx(tmp_path / "whole").shape == (1 << 16,)


def test_a_shape_beyond_numpy(tmp_path: Path) -> None:
    lie = bytes([0, 0, 8, 3]) + 4 * b"\0" + 8 * b"\xff"
    assert sentence(tmp_path, lie) == (
        "FILE has a shape that no array can have: (0, 4294967295, 4294967295)."
    )


@pytest.mark.parametrize("start", [b"", b"\0\0", b"<html>", b"\0\0\x0a\x01", b"\0\0\x08\0"])
def test_not_idx(tmp_path: Path, start: bytes) -> None:
    written = start[:4].hex(" ") or "(none)"
    assert sentence(tmp_path, start) == (
        f"FILE is not an IDX file: it starts with the bytes {written} "
        "where 00 00, a type from 08 to 0e and the number of dimensions are expected."
    )


def test_cut_within_the_header(tmp_path: Path) -> None:
    assert sentence(tmp_path, idx(IMAGES)[:10]) == (
        "FILE ends within its header: expected 16 bytes, found 10."
    )


@pytest.mark.parametrize("compress", COMPRESS[1:])
def test_damaged_compression(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 500)
    whole = compress(idx(noise))
    assert "FILE is damaged (Compressed file ended" in sentence(tmp_path, whole[:-20])
    flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    pattern = r"FILE is damaged \(.+\): delete it so that it is fetched again\."
    assert re.fullmatch(pattern, sentence(tmp_path, flipped))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing cannot be read: No such file or directory\.$"):
        read_idx(tmp_path / "nothing")
