"""CIFAR-10 and its subsets: which images take part, and as which class."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from metadescent.problems.cifar10 import NAMED, make_cifar10
from metadescent.problems.convnet import ConvNet
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.rescaled import Rescaled
from metadescent.registry import make_problem, recipe_of

KEY = jax.random.key(0)
SEEN = [i for i in range(30) if i % 5 != 4]
"""Images of batches 1 to 4; nothing learns from batch 5 by default."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images in five batches, the i-th all of the value i and with the label i mod 10."""
    for batch in range(5):
        content = b"".join(bytes([i % 10]) + bytes([i]) * 3072 for i in range(batch, 30, 5))
        (tmp_path / f"data_batch_{batch + 1}.bin").write_bytes(content)
    return tmp_path


def members(f: ConvNet) -> dict[int, int]:
    """The class of each image by its value."""
    assert f.images.shape[1:] == (32, 32, 3)
    return dict(zip(f.images[:, 0, 0, 0].tolist(), f.labels.tolist(), strict=True))


def test_it_is_the_network_on_the_training_images(folder: Path) -> None:
    f = make_cifar10(theta_std=0.5, batch_size=7, data_dir=folder).sample(KEY)
    assert (f.channels, f.hidden, f.kernel, f.classes) == ((16, 16, 16), (32,), 5, 10)
    assert (f.theta_std, f.batch_size, f.white) == (0.5, 7, 255.0)
    assert members(f) == {i: i % 10 for i in SEEN}


@pytest.mark.parametrize("labels", [(0, 1), (7, 3, 5), tuple(range(9, -1, -1))])
def test_labels_become_classes_in_their_order(folder: Path, labels: tuple[int, ...]) -> None:
    f = make_cifar10(labels, data_dir=folder).sample(KEY)
    assert f.classes == len(labels)
    assert members(f) == {i: labels.index(i % 10) for i in SEEN if i % 10 in labels}


@pytest.mark.parametrize(("name", "others"), [("cifar5", range(5, 10)), ("cifar2", range(2, 10))])
def test_a_subset_and_the_labels_it_leaves_out_are_all_there_is(
    folder: Path, name: str, others: range
) -> None:
    subset = make_problem(name, folder).sample(KEY)
    rest = make_problem(f"cifar10(labels={tuple(others)})", folder).sample(KEY)
    assert subset.classes + rest.classes == 10
    assert members(subset) == {i: i % 10 for i in SEEN if i % 10 not in others}
    assert sorted([*members(subset), *members(rest)]) == SEEN


def test_held_out_batches_are_other_images_of_the_same_network(folder: Path) -> None:
    seen, held_out = (
        make_cifar10((3, 9), batches, data_dir=folder).sample(KEY)
        for batches in ((1, 2, 3, 4), (5,))
    )
    assert members(seen) == {i: (3, 9).index(i % 10) for i in (3, 13, 23)}
    assert members(held_out) == {i: (3, 9).index(i % 10) for i in (9, 19, 29)}
    # Though neither holds images of both labels.
    assert seen.classes == held_out.classes == 2


def test_shrunk_images_have_the_means_of_blocks(tmp_path: Path, sentence: Callable) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    rows = [bytes([i % 10]) + image.tobytes() for i, image in enumerate(pixels)]
    (tmp_path / "data_batch_1.bin").write_bytes(b"".join(rows))
    whole = np.moveaxis(pixels, 1, -1).astype(np.float64)
    for by in (2, 4, 32):
        made = make_cifar10(
            batches=(1,), shrink=by, channels=(), data_dir=tmp_path, theta_std=0.1
        ).sample(KEY)
        side = 32 // by
        means = [
            [
                whole[:, by * i : by * (i + 1), by * j : by * (j + 1)].mean((1, 2))
                for j in range(side)
            ]
            for i in range(side)
        ]
        np.testing.assert_array_equal(made.images, np.rint(np.moveaxis(means, 2, 0)))
    assert sentence(make_cifar10, batches=(1,), shrink=3, data_dir=tmp_path) == (
        "shrink is 3 and must divide 32, the side of an image; try 2"
    )


@pytest.mark.parametrize("name", NAMED)
def test_they_take_the_same_options(folder: Path, name: str) -> None:
    options = "channels=(4, 5), hidden=(6,), kernel=3, batch_size=7, batches=(2, 3)"
    f = make_problem(f"{name}({options})", folder).sample(KEY)
    assert (f.channels, f.hidden, f.kernel, f.batch_size) == ((4, 5), (6,), 3, 7)
    assert {i % 5 for i in members(f)} <= {1, 2}
    assert isinstance(make_problem(f"{name}(log=True)", folder), Logarithm)
    assert isinstance(make_problem(f"{name}(rescale=1.0)", folder), Rescaled)
    assert recipe_of(name)["optimizer"] == (
        "conv/* -> lstm(p=10.0, scale=0.1) + * -> lstm(p=10.0, scale=0.1)"
    )


def test_a_subset_has_its_labels(folder: Path, sentence: Callable) -> None:
    error = sentence(make_problem, "cifar2(labels=(3, 4))", folder)
    assert error.startswith("cifar2 has no option 'labels'; ")


@pytest.mark.parametrize("labels", [(), (3,), (3, 3), (3, 10), (-1, 3)])
def test_labels_that_are_no_classes(folder: Path, sentence: Callable, labels: tuple) -> None:
    assert sentence(make_cifar10, labels, data_dir=folder) == (
        f"labels is {labels!r} and must be two or more different ones from 0 to 9; "
        "try labels=(0, 1)"
    )


def test_labels_that_no_image_has(folder: Path, sentence: Callable) -> None:
    assert sentence(make_cifar10, (0, 1), (5,), data_dir=folder) == (
        "no image in batches (5,) has one of the labels (0, 1); try others"
    )


def test_the_data_folder_may_come_from_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METADESCENT_DATA", str(folder))
    images = make_cifar10().sample(KEY).images
    assert (images.shape, images.dtype) == ((len(SEEN), 32, 32, 3), np.uint8)
