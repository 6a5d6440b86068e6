"""MNIST from files that the test writes, and the real one where it is on disk."""

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metadescent._errors import UserError
from metadescent.problems.data import load_mnist

REAL = Path(os.environ.get("METADESCENT_DATA", ""))
TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def write(directory: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        path = directory / f"train-{name}-ubyte"
        path.write_bytes(header + array.astype(np.uint8).tobytes())
    return directory


def sentence(directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_mnist(directory)
    return str(caught.value).replace(f"{directory}{os.sep}", "")


def test_own_files(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 28, 28))
    images, labels = load_mnist(write(tmp_path, pictures, np.array([9, 0, 4])))
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(images, pictures.reshape(3, 784))
    np.testing.assert_array_equal(labels, [9, 0, 4])


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_another_data_set_of_the_same_names_is_unpacked_to_be_taken(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """Fashion-MNIST's files are named as MNIST's."""
    write(tmp_path, np.zeros((2, 28, 28)), np.array([1, 2]))
    plain = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, content in plain.items():
        path.with_name(path.name + ending).write_bytes(pack(content))
        path.unlink()
    assert sentence(tmp_path).endswith(
        " is expected: unpack it if it is meant, or delete it so that it is fetched again."
    )
    for path, content in plain.items():
        path.write_bytes(content)
    assert load_mnist(tmp_path)[1].tolist() == [1, 2]


def test_mnist_packed_again_is_mnist(tmp_path: Path) -> None:
    names = [f"t10k-{name}-ubyte" for name in ("images-idx3", "labels-idx1")]
    for name in names:
        path = REAL / "mnist" / f"{name}.gz"
        if not path.exists():
            pytest.skip("MNIST is not on this disk")
        packed = gzip.compress(gzip.decompress(path.read_bytes()), 1)
        (tmp_path / f"{name}.gz").write_bytes(packed)
    images, labels = load_mnist(tmp_path, "test")
    np.testing.assert_array_equal(images, load_mnist(REAL, "test")[0])
    assert labels[0] == 7


def test_counts_differ(tmp_path: Path) -> None:
    assert sentence(write(tmp_path, np.zeros((3, 28, 28)), np.zeros(2))) == (
        "train-images-idx3-ubyte holds 3 images but train-labels-idx1-ubyte holds 2 labels: "
        "take both files from the same place."
    )


def test_label_out_of_range(tmp_path: Path) -> None:
    assert sentence(write(tmp_path, np.zeros((2, 28, 28)), np.array([9, 10]))) == (
        "train-labels-idx1-ubyte holds the label 10, and labels run from 0 to 9."
    )


@pytest.mark.parametrize("shape", [(2, 27, 28), (784,)])
def test_not_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert sentence(write(tmp_path, np.zeros(shape), np.zeros(2))) == (
        f"train-images-idx3-ubyte holds uint8 of shape {shape} "
        "where uint8 of shape (n, 28, 28) is expected."
    )


def test_not_labels(tmp_path: Path) -> None:
    assert sentence(write(tmp_path, np.zeros((2, 28, 28)), np.zeros((2, 10)))) == (
        "train-labels-idx1-ubyte holds uint8 of shape (2, 10) "
        "where uint8 of shape (n,) is expected."
    )


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="splits 'train' and 'test', but not 'validation'"):
        load_mnist(tmp_path, split="validation")


@pytest.mark.parametrize(
    ("split", "first", "counts"), [("train", 5, TRAIN), ("test", 7, TEST)], ids=["train", "test"]
)
def test_the_real_one(split: str, first: int, counts: list[int]) -> None:
    if not list((REAL / "mnist").glob("*-labels-idx1-ubyte*")):
        pytest.skip("MNIST is not on this disk")
    images, labels = load_mnist(REAL, split)
    assert images.shape == (sum(counts), 784)
    assert images.dtype == np.uint8
    assert labels[0] == first
    assert np.bincount(labels).tolist() == counts
    assert images.min() == 0
    assert images.max() == 255
    # Ink covers the middle and never a corner, so rows and columns are in their order.
    mean = images.mean(axis=0).reshape(28, 28)
    assert mean[14, 14] > 50
    assert mean[0, 0] == mean[0, -1] == mean[-1, 0] == 0
