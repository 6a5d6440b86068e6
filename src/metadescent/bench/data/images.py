"""MNIST and CIFAR-10 as smaller pictures, for networks that one core trains in seconds."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metadescent.problems.data.cifar10 import load_cifar10
from metadescent.problems.data.mnist import load_mnist
from metadescent.problems.data.store import data_dir as folder_of_data

Pictures = NDArray[np.uint8]  # pictures × height × width × colours
Labels = NDArray[np.int32]


class PictureSets(NamedTuple):
    """Pictures with their labels: those to train on, and those held out."""

    train: tuple[Pictures, Labels]
    held_out: tuple[Pictures, Labels]


def pooled_mnist(side: int = 28, data_dir: Path | None = None) -> PictureSets:
    """Return MNIST's training images and test images as pictures of side × side × 1."""
    return PictureSets(
        *(
            (average_pooled(images.reshape(-1, 28, 28, 1), side), labels)
            for images, labels in (load_mnist(data_dir, split) for split in ("train", "test"))
        )
    )


def pooled_cifar10(
    side: int = 8, data_dir: Path | None = None, *, is_grey: bool = False
) -> PictureSets:
    """Return CIFAR-10's training images and the first 1000 test images, side × side × 3 or 1."""
    sets = _cifar10_at_16(folder_of_data(data_dir))
    pairs = ((average_pooled(images, side), labels) for images, labels in sets)
    return PictureSets(*((_grey(x) if is_grey else x, labels) for x, labels in pairs))


# Unpacking the 50,000 pictures takes many times as long as pooling them.
@lru_cache(maxsize=1)
def _cifar10_at_16(folder: Path) -> PictureSets:
    return PictureSets(
        *(
            (average_pooled(images, 16), labels)
            for images, labels in (
                load_cifar10(folder, batches) for batches in ((1, 2, 3, 4, 5), ("test-first-1000",))
            )
        )
    )


def average_pooled(images: Pictures, side: int) -> Pictures:
    """Return pictures of another side: each pixel is the rounded mean of a square.

    If the side does not divide that of the images, they are first padded with zeros to a multiple.
    """
    n, height, _, colours = images.shape
    margin = -height % side
    before, after = margin // 2, margin - margin // 2
    # Edges are added on all four sides, and not on the axes of pictures and colours.
    edges = ((0, 0), (before, after), (before, after), (0, 0))
    images = np.pad(images, edges) if margin else images
    square = images.shape[1] // side
    if square == 1:
        return images
    squares = images.reshape(n, side, square, side, square, colours)
    sums = squares.sum((2, 4), dtype=np.uint16)
    return ((sums + square * square // 2) // square**2).astype(np.uint8)


def _grey(images: Pictures) -> Pictures:
    """Return the mean of the colours."""
    return ((images.sum(-1, keepdims=True, dtype=np.uint16) + 1) // 3).astype(np.uint8)


def with_wrong_labels(labels: Labels, share: float, classes: int) -> Labels:
    """Return labels of which a share are drawn at random; the result is the same each time."""
    # Two numbers for each label, from a stream that does not change with NumPy's version.
    chosen, drawn = np.random.default_rng(0).random((2, len(labels)))
    return np.where(chosen < share, (classes * drawn).astype(np.int32), labels)
