"""Strips: pictures stay as they are, words stand under them, and no file is too large."""

import itertools

import numpy as np
import pytest

from metadescent.figures.strip import Labelled, draw_strip


def pictures(count: int, height: int, width: int) -> list[Labelled]:
    drawn = np.random.default_rng(0).integers(0, 200, (count, height, width, 3), dtype=np.uint8)
    return [Labelled(picture, (f"name {i}", "loss 1")) for i, picture in enumerate(drawn)]


def inks(strip: np.ndarray) -> list[tuple[int, int]]:
    """Return from where to where the columns are not white."""
    dark = np.flatnonzero(np.diff(np.r_[0, (strip < 255).any((0, 2)), 0]))
    return list(zip(dark[::2], dark[1::2], strict=True))


@pytest.mark.parametrize("sides", [(120, 160), (160, 110), (60, 240), (130, 130)])
def test_pictures_come_through_pixel_by_pixel_in_order(sides: tuple[int, int]) -> None:
    labelled = pictures(4, *sides)
    strip = draw_strip(labelled)
    columns = inks(strip[: sides[0] + 8])
    assert [end - begin for begin, end in columns] == [sides[1]] * 4
    for (begin, end), (picture, _) in zip(columns, labelled, strict=True):
        np.testing.assert_array_equal(strip[8 : 8 + sides[0], begin:end], picture)
    # Words are under their own picture.
    for (begin, end), (left, right) in zip(
        columns, np.reshape([inks(strip[:, b:e])[0] for b, e in columns], (-1, 2)), strict=True
    ):
        assert 0 <= left < right <= end - begin
        assert (strip[9 + sides[0] :, begin:end] < 128).any()


def test_words_wider_than_a_picture_do_not_run_into_each_other() -> None:
    small = [Labelled(picture, [lines[0] * 20]) for picture, lines in pictures(3, 16, 16)]
    strip = draw_strip(small)
    below = strip[26:]
    letters = inks(below)
    gaps = [after[0] - before[1] for before, after in itertools.pairwise(letters)]
    # Between names is more room than between words.
    assert sum(gap >= 8 for gap in gaps) == 2
    assert not (below[:, [0, -1]] < 255).any()


def test_large_and_many_pictures_are_made_small_and_put_in_rows() -> None:
    strip = draw_strip(pictures(8, 900, 1300))
    height, width, _ = strip.shape
    assert width <= 2200
    assert height <= 1200
    # Another that is longer than the first is made to fit.
    first, other = pictures(1, 40, 100)[0], pictures(1, 400, 60)[0]
    assert draw_strip([first, other]).shape == draw_strip([first, first]).shape
