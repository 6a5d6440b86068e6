"""CIFAR-10 from files that the test writes, and the real one where it is on disk."""

import gzip
import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest

from metadescent.problems.data import cifar10, load_cifar10

REAL = Path(os.environ.get("METADESCENT_DATA", ""))
FIRST_1000 = [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]
BATCH_5 = [1014, 1014, 952, 1016, 997, 1025, 980, 977, 1003, 1022]
WHERE = (
    "cifar-10-binary.tar.gz is missing and could not be downloaded from "
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz (ConnectionError): put it at "
    "{}/cifar10/cifar-10-binary.tar.gz, or set METADESCENT_DATA or --data-dir to a folder that "
    "has it."
)


def records(seed: int, count: int = 3) -> bytes:
    """Noise, labels among it."""
    table = np.random.default_rng(seed).integers(0, 256, (count, 3073), np.uint8)
    table[:, 0] %= 10
    return table.tobytes()


TEST = records(6, 4)
# Stand-ins for the official files, of three images a batch; the start of the test batch has two.
OFFICIAL = {
    **{f"data_batch_{n}.bin": records(n) for n in range(1, 6)},
    "test_batch.bin": TEST,
    "test_batch_first1000.bin": TEST[: 2 * 3073],
}


def tar(contents: dict[str, bytes], mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        folder = tarfile.TarInfo("data_batch_1.bin")  # of that name, and not what is wanted
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


ARCHIVED = {"readme.html": b"..."} | {k: v for k, v in OFFICIAL.items() if "first" not in k}
ARCHIVE = tar(ARCHIVED)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieve(url: str, **_: Any) -> str:
        raise ConnectionError(url)

    monkeypatch.setattr(pooch, "retrieve", retrieve)


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stand-ins pass for the official files."""

    for name, content in OFFICIAL.items():
        described = (len(content) // 3073, hashlib.md5(content).hexdigest())
        monkeypatch.setitem(cifar10._FILES, name, described)
    sha256 = hashlib.sha256(ARCHIVE).hexdigest()
    monkeypatch.setattr(cifar10, "_ARCHIVE", cifar10._ARCHIVE._replace(sha256=sha256))


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def by_hand(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixel by pixel."""
    table = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    images = np.zeros((len(table), 32, 32, 3), np.uint8)
    for row, column, colour in np.ndindex(32, 32, 3):
        images[:, row, column, colour] = table[:, 1 + 1024 * colour + 32 * row + column]
    return images, table[:, 0]


def assert_is(loaded: tuple[np.ndarray, np.ndarray], content: bytes) -> None:
    images, labels = loaded
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    assert images.flags.c_contiguous
    expected_images, expected_labels = by_hand(content)
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


@pytest.mark.parametrize(
    "folder", ["cifar10", "cifar10/cifar-10-batches-bin", ".", "cifar-10-batches-bin"]
)
def test_files_of_ones_own_are_taken_as_they_are(tmp_path: Path, folder: str) -> None:
    for batch in range(1, 6):
        write(tmp_path / folder / f"data_batch_{batch}.bin", records(batch, batch))
    assert_is(load_cifar10(tmp_path), b"".join(records(batch, batch) for batch in range(1, 6)))


def test_batches_come_in_the_order_asked_for_and_no_other_is_read(tmp_path: Path) -> None:
    write(tmp_path / "data_batch_5.bin", records(5))
    write(tmp_path / "data_batch_2.bin", records(2))
    write(tmp_path / "data_batch_1.bin", b"cut")
    write(tmp_path / "data_batch_3.bin.xz", b"cut")
    assert_is(load_cifar10(tmp_path, batches=[5, 2]), records(5) + records(2))


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("filters", [None, [{"id": lzma.FILTER_DELTA}, {"id": lzma.FILTER_LZMA2}]])
def test_xz(tmp_path: Path, filters: Any) -> None:
    for name in ("data_batch_1.bin", "test_batch.bin"):
        packed = lzma.compress(OFFICIAL[name], filters=filters)
        write(tmp_path / "cifar10" / f"{name}.xz", packed)
    assert_is(load_cifar10(tmp_path, ("test", 1)), TEST + records(1))


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            lambda packed: lzma.compress(records(7)),
            "unpacks to bytes of MD5 {other} where {md5} is",
        ),
        (
            lambda packed: lzma.compress(records(1) * 9),
            "unpacks to bytes of MD5 {more} where {md5}",
        ),
        (
            lambda packed: lzma.compress(records(1)[:-1]),
            "unpacks to bytes of MD5 {less} where {md5}",
        ),
        (lambda packed: packed[:-100], "is damaged (Compressed file ended before"),
        (lambda packed: packed[:900] + b"?" + packed[901:], "is damaged (Corrupt input data)"),
        (lambda packed: b"not packed at all", "is damaged (Input format not supported"),
    ],
    ids=["other", "more", "less", "cut", "corrupt", "not-xz"],
)
def test_what_is_packed_must_be_the_official_batch(
    tmp_path: Path, sentence: Callable, spoil: Callable[[bytes], bytes], expected: str
) -> None:
    path = write(tmp_path / "data_batch_1.bin.xz", spoil(lzma.compress(records(1))))
    contents = {
        "md5": records(1),
        "other": records(7),
        "more": records(1) + records(1)[:1],
        "less": records(1)[:-1],
    }
    sums = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    error = sentence(load_cifar10, tmp_path, (1,))
    assert error.startswith(f"{path} {expected.format(**sums)}")
    hint = "unpack it if it is meant, or " if "MD5" in expected else ""
    assert error.endswith(f": {hint}delete it so that it is fetched again.")


@pytest.mark.parametrize("size", [0, 1, 3072, 2 * 3073 + 5])
def test_a_part_of_a_record(tmp_path: Path, sentence: Callable, size: int) -> None:
    path = write(tmp_path / "data_batch_1.bin", records(1)[:size])
    assert sentence(load_cifar10, tmp_path, (1,)) == (
        f"{path} holds {size} bytes where records of 3073 bytes, and no part of one, are expected: "
        "it may have been cut off."
    )


def test_a_label_out_of_range(tmp_path: Path, sentence: Callable) -> None:
    path = write(tmp_path / "data_batch_1.bin", records(1) + bytes([10]) * 3073)
    assert sentence(load_cifar10, tmp_path, (1,)) == (
        f"{path} holds the label 10, and labels run from 0 to 9."
    )


def test_unreadable(tmp_path: Path, sentence: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "data_batch_1.bin", records(1))

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    expected = f"{path} cannot be read: Permission denied."
    assert sentence(load_cifar10, tmp_path, (1,)) == expected


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("folder", ["cifar10", "."])
def test_out_of_the_archive(tmp_path: Path, folder: str) -> None:
    path = write(tmp_path / folder / "cifar-10-binary.tar.gz", ARCHIVE)
    assert_is(load_cifar10(tmp_path), b"".join(records(batch) for batch in range(1, 6)))
    assert_is(load_cifar10(tmp_path, ("test", 3)), TEST + records(3))
    assert_is(load_cifar10(tmp_path, ("test-first-1000",)), TEST[: 2 * 3073])
    assert_is(load_cifar10(tmp_path, ("test-first-1000", "test")), TEST[: 2 * 3073] + TEST)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


@pytest.mark.usefixtures("official")
def test_the_archive_makes_up_for_what_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", ARCHIVE)
    write(tmp_path / "cifar10" / "data_batch_2.bin", records(8))
    assert_is(load_cifar10(tmp_path, (1, 2)), records(1) + records(8))


@pytest.mark.usefixtures("official")
def test_the_archive_may_be_packed_otherwise(tmp_path: Path) -> None:
    write(tmp_path / "cifar-10-binary.tar", tar(ARCHIVED, "w"))
    assert_is(load_cifar10(tmp_path, (4,)), records(4))


@pytest.mark.usefixtures("official")
def test_a_truncated_archive_is_refused(tmp_path: Path, sentence: Callable) -> None:
    path = write(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", ARCHIVE[: len(ARCHIVE) // 2])
    error = sentence(load_cifar10, tmp_path)
    assert error.startswith(f"{path} is damaged (Compressed file ended before")
    assert error.endswith(": delete it so that it is fetched again.")


@pytest.mark.usefixtures("official")
def test_an_archive_that_is_packed_again_is_known_by_its_batches(
    tmp_path: Path, sentence: Callable
) -> None:
    """Its own bytes differ with the time at which it was packed."""
    path = write(tmp_path / "cifar-10-binary.tar.gz", gzip.compress(tar(ARCHIVED, "w"), 1))
    assert_is(load_cifar10(tmp_path, (4,)), records(4))
    write(path, tar({"data_batch_4.bin": records(7)}, "w:gz"))
    error = sentence(load_cifar10, tmp_path, (4,))
    assert error.startswith(f"data_batch_4.bin in {path} unpacks to bytes of MD5 ")
    assert ": unpack it if it is meant, or " in error
    write(tmp_path / "data_batch_4.bin", records(7))
    assert_is(load_cifar10(tmp_path, (4,)), records(7))


@pytest.mark.usefixtures("official")
def test_gz(tmp_path: Path) -> None:
    write(tmp_path / "data_batch_1.bin.gz", gzip.compress(records(1)))
    assert_is(load_cifar10(tmp_path, (1,)), records(1))


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tar(ARCHIVED, "w")[:-60_000], "{} is damaged (unexpected end of data)"),
        (tar({}, "w"), "{} is without data_batch_4.bin and test_batch.bin"),
        (tar({"data_batch_4.bin": b"?"}, "w"), "data_batch_4.bin in {} unpacks to bytes of MD5 "),
        (b"no archive" * 99, "{} is damaged (file could not be opened successfully"),
    ],
    ids=["cut", "empty", "other", "no-archive"],
)
def test_an_archive_of_another_name_is_checked_too(
    tmp_path: Path, sentence: Callable, content: bytes, expected: str
) -> None:
    path = write(tmp_path / "cifar-10-binary.tar", content)
    error = sentence(load_cifar10, tmp_path, (4, "test"))
    assert error.startswith(expected.format(path))
    assert error.endswith("delete it so that it is fetched again.")


@pytest.mark.usefixtures("official")
def test_a_download_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def retrieve(url: str, *, known_hash: str, fname: str, path: Path, downloader: Any) -> str:
        asked.append(url)
        assert known_hash == f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}"
        return str(write(Path(path) / fname, ARCHIVE))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for _ in range(2):
        assert_is(load_cifar10(tmp_path, (1,)), records(1))
    assert asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    home = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [home]


def test_missing_without_network(tmp_path: Path, sentence: Callable) -> None:
    write(tmp_path / "data_batch_1.bin", records(1))
    assert sentence(load_cifar10, tmp_path) == WHERE.format(tmp_path)


@pytest.mark.usefixtures("official")
def test_the_start_of_the_test_batch_is_not_the_test_batch(
    tmp_path: Path, sentence: Callable
) -> None:
    packed = lzma.compress(OFFICIAL["test_batch_first1000.bin"])
    path = write(tmp_path / "cifar10" / "test_batch_first1000.bin.xz", packed)
    assert_is(load_cifar10(tmp_path, ("test-first-1000",)), TEST[: 2 * 3073])
    assert sentence(load_cifar10, tmp_path, ("test",)) == (
        f"{path} holds only the first 1000 images of the test batch, which "
        "batches=('test-first-1000',) loads; for all of it, " + WHERE.format(tmp_path)
    )
    # Where it is a training batch that is missing, the start of the test batch is beside the point.
    assert sentence(load_cifar10, tmp_path, (1,)) == WHERE.format(tmp_path)


@pytest.mark.parametrize(
    ("batches", "what"),
    [((1, 6), "6 is none of them"), (("train",), "'train' is none of them"), ((), "none was")],
)
def test_unknown_batches(tmp_path: Path, sentence: Callable, batches: tuple, what: str) -> None:
    assert sentence(load_cifar10, tmp_path, batches).startswith(
        f"CIFAR-10 has the batches 1, 2, 3, 4, 5, 'test', 'test-first-1000', and {what}"
    )


@pytest.mark.parametrize(
    ("batch", "counts"), [("test-first-1000", FIRST_1000), (5, BATCH_5)], ids=["test", "5"]
)
def test_the_real_one(batch: int | str, counts: list[int]) -> None:
    if not list((REAL / "cifar10").glob("*_batch_*")):
        pytest.skip("CIFAR-10 is not on this disk")
    images, labels = load_cifar10(REAL, (batch,))
    assert images.shape == (sum(counts), 32, 32, 3)
    assert np.bincount(labels).tolist() == counts
    # Of a thousand, as many as the start of the test batch has.
    values, labels = images[:1000].astype(np.float32), labels[:1000]
    # Neighbours in a column, in a row and in colour are alike; unrelated values are 70 apart.
    assert all(np.abs(np.diff(values, axis=axis)).mean() < 20 for axis in (1, 2, 3))
    # The sky over aeroplanes and ships is blue, and frogs are not.
    mean = [values[labels == kind].mean((0, 1, 2)) for kind in range(10)]
    assert mean[0][2] > mean[0][0]
    assert mean[6][2] < mean[6][0]


@pytest.mark.parametrize("leads_to", ["data_batch_1.bin", "/etc/passwd"])
def test_a_link_in_an_archive_is_not_followed(
    leads_to: str, tmp_path: Path, sentence: Callable
) -> None:
    path, member = tmp_path / "cifar-10-binary.tar", tarfile.TarInfo("data_batch_1.bin")
    member.type, member.linkname = tarfile.SYMTYPE, leads_to
    with tarfile.open(path, "w") as archive:
        archive.addfile(member)
    assert sentence(load_cifar10, tmp_path, batches=(1,)) == (
        f"{path} is without data_batch_1.bin: delete it so that it is fetched again."
    )


def test_a_file_that_is_no_archive_is_named_on_one_line(tmp_path: Path, sentence: Callable) -> None:
    path = tmp_path / "cifar-10-binary.tar"
    path.write_bytes(b"no archive")
    assert sentence(load_cifar10, tmp_path, batches=(1,)) == (
        f"{path} is damaged (file could not be opened successfully): "
        "delete it so that it is fetched again."
    )
