"""Films: the frames come back, in order, and stay as long as they should."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from metadescent.figures import film
from metadescent.figures.film import check_film, write_film


def fading(height: int, width: int, count: int) -> list[np.ndarray]:
    # Spots of several pixels, which survive what WebP leaves out.
    spots = np.random.default_rng(0).integers(0, 256, (2, height, width, 3))
    ends = spots.repeat(6, 1).repeat(6, 2)[:, :height, :width]
    parts = np.linspace(0, 1, count)
    return [np.uint8((1 - part) * ends[0] + part * ends[1]) for part in parts]


@pytest.mark.parametrize("ending", [".gif", ".webp", ".GIF"])
@pytest.mark.parametrize("count", [1, 5])
def test_frames_come_back_in_order(tmp_path: Path, ending: str, count: int) -> None:
    frames = fading(12, 17, count)
    path = tmp_path / f"a{ending}"
    write_film(path, frames)
    with Image.open(path) as image:
        shown = [np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(image)]
    distances = np.array([[abs(a - b).mean() for b in frames] for a in shown])
    assert distances.argmin(1).tolist() == list(range(count))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_gif_of_few_colours_is_exact_and_stays_on_the_last_frame(tmp_path: Path) -> None:
    few = np.random.default_rng(1).choice([0, 100, 255], (3, 8, 6, 3)).astype(np.uint8)
    write_film(tmp_path / "a.gif", list(few))
    with Image.open(tmp_path / "a.gif") as image:
        frames = [(frame.convert("RGB"), frame.info) for frame in ImageSequence.Iterator(image)]
    np.testing.assert_array_equal([np.asarray(frame) for frame, _ in frames], few)
    assert image.info["loop"] == 0
    with Image.open(tmp_path / "a.gif") as image:
        lasts = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert lasts == [80, 80, 2000]


def test_mp4_takes_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: Callable
) -> None:
    monkeypatch.setattr(film.shutil, "which", lambda name: None)
    assert sentence(check_film, Path("a.mp4")) == (
        "a.mp4 takes the program ffmpeg, which is not on the PATH; let the film end in .gif or "
        ".webp, or install ffmpeg"
    )
    check_film(Path("a.gif"))

    def fails(words: list[str], **_: object) -> subprocess.CompletedProcess:
        return subprocess.CompletedProcess(words, 1, b"", b"Unknown encoder\nmore")

    monkeypatch.setattr(film.subprocess, "run", fails)
    assert sentence(write_film, Path("a.mp4"), fading(4, 4, 2)) == (
        "ffmpeg cannot write a.mp4: Unknown encoder; let the film end in .gif"
    )


def test_ffmpeg_is_given_every_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = fading(5, 7, 3)

    def writes(words: list[str], input: bytes, cwd: str, **_: object) -> object:
        assert words[words.index("-s") + 1] == "7x5"
        shown = np.frombuffer(input, np.uint8).reshape(-1, 5, 7, 3)
        np.testing.assert_array_equal(shown[:3], frames)
        assert (shown[3:] == frames[-1]).all()
        Path(cwd, words[-1]).write_bytes(b"film")
        return subprocess.CompletedProcess(words, 0, b"", b"")

    monkeypatch.setattr(film.subprocess, "run", writes)
    write_film(tmp_path / "a.mp4", frames)
    assert (tmp_path / "a.mp4").read_bytes() == b"film"
