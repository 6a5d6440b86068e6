"""CIFAR-10 and its subsets (section 3.3): photographs of ten kinds of thing, or of some of them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from metadescent._errors import UserError, require
from metadescent.problems.base import Named, Problem
from metadescent.problems.convnet import ConvNetClassification
from metadescent.problems.data.cifar10 import load_cifar10
from metadescent.problems.dressed import dress


def make_cifar10(
    # Images with the first of these labels are class 0, with the second class 1; others are out.
    labels: Sequence[int] = tuple(range(10)),
    # As in `load_cifar10`. Nothing learns from batch 5, so that it can be held out.
    batches: Sequence[int | str] = (1, 2, 3, 4),
    # Kernels, channels, θ₀ and minibatches are those of the authors' code.
    channels: Sequence[int] = (16, 16, 16),
    hidden: Sequence[int] = (32,),
    kernel: int = 5,
    theta_std: float = 0.01,
    batch_size: int = 128,
    # Each pixel is the mean of so many by so many: 2 leaves 16 × 16, a quarter of the work.
    shrink: int = 1,
    rescale: float = 0.0,
    log: bool = False,
    data_dir: str | Path | None = None,
) -> Problem:
    """Return the problem of training a convolutional network on images of CIFAR-10."""
    if len(set(labels)) != len(labels) or len(labels) < 2 or not set(labels) <= set(range(10)):
        raise UserError(
            f"labels is {labels!r} and must be two or more different ones from 0 to 9; "
            "try labels=(0, 1)"
        )
    require("shrink", shrink, 1)
    images, kinds = load_cifar10(data_dir, batches)
    if images.shape[1] % shrink:
        raise UserError(
            f"shrink is {shrink} and must divide {images.shape[1]}, the side of an image; try 2"
        )
    # The class of each label, −1 for none.
    classes = np.full(10, -1, np.int32)
    classes[list(labels)] = np.arange(len(labels))
    kept = classes[kinds] >= 0
    if not kept.any():
        raise UserError(
            f"no image in batches {batches!r} has one of the labels {labels!r}; try others"
        )
    # Indexing copies 150 MB, which the whole set can do without.
    images = images if kept.all() else images[kept]
    if shrink > 1:
        images = _shrunk(images, shrink)
    problem = ConvNetClassification(
        images, classes[kinds[kept]], channels, hidden, len(labels), kernel, batch_size, theta_std
    )
    return dress(problem, rescale=rescale, log=log)


def _shrunk(
    images: UInt8[np.ndarray, "examples height width colours"], by: int
) -> UInt8[np.ndarray, "examples less_height less_width colours"]:
    """Return the means of blocks of pixels, rounded."""
    count, height, width, colours = images.shape
    blocks = images.reshape(count, height // by, by, width // by, by, colours)
    # Two bytes hold the sum of up to 16 × 16 pixels.
    sums = blocks.sum((2, 4), dtype=np.uint16 if by <= 16 else np.uint32)
    return np.rint(sums / np.float32(by * by)).astype(np.uint8)


_LSTM = "lstm(p=10.0, scale=0.1)"
_RECIPE = {
    # Section 3.3: one LSTM for the convolutional layers, and one for the others.
    "optimizer": f"conv/* -> {_LSTM} + * -> {_LSTM}",
    "coordinates": 2048,
    "epochs": 80,
    "episodes": 40,
    "average": 0.98,
    "validation_problems": 8,
}


def _subset(count: int) -> Named:
    summary = f"convolutional network on {count} of the labels of CIFAR-10 (figure 7)"
    return Named(partial(make_cifar10, range(count)), _RECIPE, summary)


# The paper does not say which labels its subsets have; these have the first ones.
NAMED = {
    "cifar10": Named(make_cifar10, _RECIPE, "convolutional network on CIFAR-10 (section 3.3)"),
    "cifar5": _subset(5),
    "cifar2": _subset(2),
}
