"""Smaller pictures: means of squares, of the same brightness; and labels that are wrong."""

from pathlib import Path

import numpy as np
import pytest

from metadescent.bench.data.images import (
    average_pooled,
    pooled_cifar10,
    pooled_mnist,
    with_wrong_labels,
)


def test_a_pixel_is_the_mean_of_a_square() -> None:
    image = np.array([[0, 2, 9, 9], [4, 6, 9, 9], [1, 1, 0, 0], [1, 2, 0, 255]], np.uint8)
    pooled = average_pooled(image[None, ..., None], 2)
    assert pooled.dtype == np.uint8
    assert pooled[0, ..., 0].tolist() == [[3, 9], [1, 64]]


@pytest.mark.parametrize("side", [7, 8, 14, 16, 28])
def test_ink_is_kept(side: int, pictures: Path) -> None:
    """Zeros go around a picture where the side does not divide its own."""
    whole, (images, labels) = pooled_mnist(28, pictures).train, pooled_mnist(side, pictures).train
    assert images.shape == (20, side, side, 1)
    np.testing.assert_array_equal(labels, whole[1])
    area = (28 + (-28) % side) // side
    sums = images.sum((1, 2, 3), dtype=int) * area**2
    # Rounding is at most ½ a pixel.
    np.testing.assert_allclose(sums, whole[0].sum((1, 2, 3), dtype=int), atol=side**2 * area**2 / 2)


def test_cifar_is_read_in_two_parts(pictures: Path) -> None:
    sets = pooled_cifar10(8, pictures)
    assert sets.train[0].shape == (100, 8, 8, 3)
    assert sets.held_out[0].shape == (20, 8, 8, 3)
    grey = pooled_cifar10(8, pictures, is_grey=True).train[0]
    np.testing.assert_allclose(grey[..., 0], sets.train[0].mean(-1), atol=0.51)


def test_a_share_of_labels_is_drawn() -> None:
    labels = np.zeros(10_000, np.int32)
    wrong = with_wrong_labels(labels, 0.2, 10)
    # One in ten that are drawn is right; within five standard deviations.
    assert (wrong != 0).mean() == pytest.approx(0.18, abs=5 * (0.18 * 0.82 / 10_000) ** 0.5)
    assert {*wrong} == {*range(10)}
    np.testing.assert_array_equal(wrong, with_wrong_labels(labels, 0.2, 10))
    np.testing.assert_array_equal(with_wrong_labels(labels, 0.0, 10), labels)
