"""Which photographs are in which split, and where contents and styles are found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metadescent.problems.data import data_dir
from metadescent.problems.data.content import (
    TINY_IMAGENET,
    content_path,
    load_content,
    split_names,
    style_path,
)
from metadescent.problems.data.embedded import embedded_names
from metadescent.problems.data.pictures import read_picture, write_picture

NAMES = [f"n{k // 20:08d}_val_{k}.jpg" for k in range(4000)]
REAL = data_dir() / TINY_IMAGENET


def test_the_splits_have_the_paper_s_sizes_and_share_nothing() -> None:
    splits = [set(split_names(NAMES, split)) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [1800, 20, 100]
    assert len(set.union(*splits)) == 1920
    assert set.union(*splits) < set(split_names(NAMES, "all")) == set(NAMES)


def test_the_splits_are_the_same_in_any_order_and_folder() -> None:
    for split in ("train", "validation", "test"):
        names = split_names(NAMES, split)
        assert names == sorted(names)
        assert split_names(NAMES[::-1], split) == names
        moved = split_names([f"photos/{name}" for name in NAMES], split)
        assert moved == [f"photos/{name}" for name in names]


def test_the_splits_will_not_change() -> None:
    """Otherwise an optimizer would be tested on what another version trained it on."""
    assert split_names(NAMES, "validation")[:2] == ["n00000003_val_63.jpg", "n00000037_val_750.jpg"]


def test_splits_that_there_are_not(sentence: Callable) -> None:
    assert sentence(split_names, NAMES, "testing") == (
        "there is no split 'testing'; known are train, validation, test and all"
    )
    assert sentence(split_names, NAMES[:57], "test") == (
        'there are 57 pictures and the paper\'s splits take 1920; try split="all"'
    )


def test_contents_of_one_s_own(tmp_path: Path) -> None:
    for value in (30, 10, 20):
        write_picture(tmp_path / f"{value}.png", np.full((5, 5, 3), value, np.uint8))
    contents = load_content(tmp_path, 4, "all")
    assert contents.shape == (3, 4, 4, 3)
    assert contents[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_missing_contents(tmp_path: Path, sentence: Callable) -> None:
    assert sentence(load_content, None, 8, "train", tmp_path) == (
        f"{tmp_path / TINY_IMAGENET} is missing and has no public home; name a folder or a zip of "
        'pictures of your own: content="photographs", split="all"'
    )


def test_a_style_is_a_name_or_a_file(tmp_path: Path, sentence: Callable) -> None:
    folder = tmp_path / "style"
    folder.mkdir()
    embedded = ", ".join(embedded_names())
    assert sentence(style_path, "wave", tmp_path) == (
        f"there is no style and no file 'wave'; {folder} has none, known are {embedded}, "
        "or name a picture's file"
    )
    for name in ("waves.jpg", "night.png"):
        write_picture(folder / name, np.zeros((2, 2, 3), np.uint8))
    assert style_path("night", tmp_path) == folder / "night.png"
    assert style_path(str(folder / "waves.jpg"), tmp_path) == folder / "waves.jpg"
    assert sentence(style_path, "wave", tmp_path) == (
        f"there is no style and no file 'wave'; known are night, waves, {embedded}, "
        "or name a picture's file"
    )


def test_an_embedded_picture_is_a_content_and_a_style(tmp_path: Path) -> None:
    path = content_path("grace_hopper")
    assert style_path("grace_hopper", tmp_path) == path
    contents = load_content("grace_hopper", 32, "all")
    np.testing.assert_array_equal(contents, read_picture(path, 32)[None])
    assert contents.std() > 30


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("grace_hopper", "flower"):
        write_picture(tmp_path / f"{name}.png", np.zeros((2, 2, 3), np.uint8))
        (tmp_path / f"{name}.png").rename(name)
    assert content_path("grace_hopper") == style_path("grace_hopper") == Path("grace_hopper")
    (tmp_path / "style").mkdir()
    own = tmp_path / "style" / "china.png"
    write_picture(own, np.zeros((2, 2, 3), np.uint8))
    assert style_path("china", tmp_path) == own


def test_what_is_neither_lists_what_is_embedded(sentence: Callable) -> None:
    assert sentence(content_path, "grace") == (
        f"there is no picture and no file 'grace'; known are {', '.join(embedded_names())}, "
        "or name a picture's file"
    )
    assert sentence(load_content, "grace_hopper", 8, "train") == (
        'there are 1 pictures and the paper\'s splits take 1920; try split="all"'
    )


def test_the_real_ones() -> None:
    if not REAL.is_file():
        pytest.skip("the photographs are not on this disk")
    contents = load_content(size=64, split="validation")
    assert contents.shape == (20, 64, 64, 3)
    assert 20 < contents.mean() < 200
    assert len({picture.tobytes() for picture in contents}) == 20
