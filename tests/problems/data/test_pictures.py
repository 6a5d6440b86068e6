"""Pictures of every kind that people have, and files that are none."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metadescent.problems.data import pictures
from metadescent.problems.data.pictures import (
    picture_names,
    read_picture,
    read_pictures,
    write_picture,
)

RED, WHITE, BLACK, GREY = [255, 0, 0], [255, 255, 255], [0, 0, 0], [128, 128, 128]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: Image.Image | np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(path, **options)
    return path


def test_a_square_of_that_size_comes_through_unchanged(tmp_path: Path) -> None:
    pixels = noise(7, 7)
    write_picture(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 7), pixels)


@pytest.mark.parametrize("tall", [False, True])
def test_the_middle_square_is_cut_out(tmp_path: Path, tall: bool) -> None:
    pixels = noise(4, 10)
    middle = pixels[:, 3:7]
    turn = (lambda x: x.swapaxes(0, 1)) if tall else (lambda x: x)
    path = save(tmp_path / "a.png", np.ascontiguousarray(turn(pixels)))
    np.testing.assert_array_equal(read_picture(path, 4), turn(middle))


@pytest.mark.parametrize(
    ("sides", "size", "shape"),
    [
        ((30, 20), 30, (30, 20)),
        ((200, 300), 100, (67, 100)),
        ((300, 200), 16, (16, 11)),
        ((2, 3), 96, (64, 96)),
        ((5, 1000), 100, (4, 100)),
        ((1000, 1), 64, (64, 4)),
        ((7, 7), 16, (16, 16)),
    ],
)
def test_of_the_whole_the_longer_side_is_of_the_size(
    tmp_path: Path, sides: tuple[int, int], size: int, shape: tuple[int, int]
) -> None:
    path = save(tmp_path / "a.png", noise(*sides))
    pixels = read_picture(path, size, least=4)
    assert pixels.shape == (*shape, 3)
    # Nothing is cut off but of what would be thinner than `least`, and sides are off by rounding.
    if min(sides) * size >= 4 * max(sides):
        assert abs(shape[0] * sides[1] / sides[0] - shape[1]) <= 0.5 * max(sides) / min(sides)
        if sides == shape:
            np.testing.assert_array_equal(pixels, noise(*sides))
    # On its side it has the sides the other way around.
    turned = save(tmp_path / "b.png", np.ascontiguousarray(noise(*sides).swapaxes(0, 1)))
    assert read_picture(turned, size, least=4).shape == (*shape[::-1], 3)


def test_of_what_is_too_long_the_ends_are_cut_off(tmp_path: Path) -> None:
    pixels = noise(4, 40)
    path = save(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read_picture(path, 4, least=4), pixels[:, 18:22])
    np.testing.assert_array_equal(read_picture(path, 8, least=4), pixels[:, 16:24])


def test_a_square_is_the_same_whole(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise(50, 50))
    for size in (16, 33, 64):
        np.testing.assert_array_equal(read_picture(path, size, least=16), read_picture(path, size))


def test_halving_a_smooth_picture_keeps_its_values(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 128, 4, dtype=np.uint8)[:, None], 32, 1)
    path = save(tmp_path / "a.png", np.stack([ramp, ramp.T, ramp], -1))
    half = read_picture(path, 16).astype(int)
    assert half.shape == (16, 16, 3)
    # Pixel k of the half lies between pixels 2k and 2k + 1, whose values are 8k and 8k + 4.
    np.testing.assert_allclose(half[2:-2, 0, 0], 8 * np.arange(16)[2:-2] + 2, atol=1)
    np.testing.assert_allclose(half[0, 2:-2, 1], 8 * np.arange(16)[2:-2] + 2, atol=1)


def kinds() -> dict[str, tuple[Image.Image, str, list[int]]]:
    clear_red = Image.new("RGBA", (6, 6), (255, 0, 0, 0))
    palette = Image.new("P", (6, 6), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    deep = Image.fromarray(np.full((6, 6), 0x80FF, np.uint16))
    return {
        "grey": (Image.new("L", (6, 6), 128), ".png", GREY),
        "bits": (Image.new("1", (6, 6), 1), ".png", WHITE),
        "palette": (palette, ".png", RED),
        "transparent": (clear_red, ".png", WHITE),
        "half transparent": (Image.new("RGBA", (6, 6), (0, 0, 0, 127)), ".png", GREY),
        "grey and transparent": (Image.new("LA", (6, 6), (0, 0)), ".png", WHITE),
        "16 bits": (deep, ".png", GREY),
        "16 bits, TIFF": (deep, ".tif", GREY),
        "16 bits, PPM": (deep, ".ppm", GREY),
        "CMYK": (Image.new("CMYK", (6, 6), (0, 0, 0, 0)), ".jpg", WHITE),
        "one pixel": (Image.new("RGB", (1, 1), (255, 0, 0)), ".png", RED),
        "a line": (Image.new("RGB", (500, 1), (255, 0, 0)), ".png", RED),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_becomes_red_green_and_blue(tmp_path: Path, kind: str) -> None:
    image, ending, colour = kinds()[kind]
    pixels = read_picture(save(tmp_path / f"a{ending}", image), 4)
    assert (pixels.shape, pixels.dtype) == ((4, 4, 3), np.uint8)
    np.testing.assert_array_equal(pixels, np.broadcast_to(colour, (4, 4, 3)))


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 255, 0, 255, 0, 0])
    image.putpixel((3, 3), 1)
    pixels = read_picture(save(tmp_path / "a.gif", image, transparency=0), 4)
    assert pixels[0, 0].tolist() == WHITE
    assert pixels[3, 3].tolist() == RED


def test_what_the_camera_held_sideways_is_turned_upright(tmp_path: Path) -> None:
    image = Image.fromarray(noise(4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    pixels = read_picture(save(tmp_path / "a.png", image, exif=exif), 4)
    np.testing.assert_array_equal(pixels, np.rot90(np.asarray(image), -1))


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "black")
    path = save(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    assert read_picture(path, 2)[0, 0].tolist() == RED


def test_a_folder_and_a_zip_of_it_are_the_same_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for seed, name in enumerate(["b.png", "a/d.PNG", "c.png"]):
        save(folder / name, noise(5, 5, seed))
    for name in ("notes.txt", ".hidden.png", "__MACOSX/b.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no picture")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    for source in (folder, archive):
        assert picture_names(source) == ["a/d.PNG", "b.png", "c.png"]
        pixels = read_pictures(source, 5)
        np.testing.assert_array_equal(pixels, [noise(5, 5, seed) for seed in (1, 0, 2)])
        np.testing.assert_array_equal(read_pictures(source, 5, ["c.png"]), pixels[2:])


def png(side: int, bits: int, colour: int, rows: bytes, clear: bytes = b"") -> bytes:
    """A PNG by hand: a square of grey (colour 0) or of red, green and blue (2)."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0),
        **({b"tRNS": clear} if clear else {}),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks.items():
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    return content


def grey_tiff(bits: int, white_is_most: int, data: bytes, kind: int = 1) -> bytes:
    """A TIFF by hand, of 4 × 4 grey pixels, whose data begins at 134; kind 2 has a sign."""
    tags = {
        **{256: 4, 257: 4, 258: bits, 259: 1, 262: white_is_most},
        **{273: 134, 277: 1, 278: 4, 279: len(data), 339: kind},
    }
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + table
    return head.ljust(134, b"\0") + data


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (grey_tiff(16, 1, b"\xff\x80" * 16), GREY),
        (grey_tiff(16, 0, b"\xff\x7f" * 16), GREY),
        (grey_tiff(12, 1, b"\x80\x08\x00" * 8), GREY),
    ],
    ids=["16 bits", "0 is white", "12 bits"],
)
def test_grey_is_scaled_as_a_tiff_says(content: bytes, colour: list[int]) -> None:
    pixels = pictures._decode(io.BytesIO(content), "it", 4)
    np.testing.assert_array_equal(pixels, np.broadcast_to(colour, (4, 4, 3)))


@pytest.mark.parametrize(
    ("bits", "row", "clear", "other"),
    [
        (16, b"\x80\x00" * 8, b"\x80\x00", b"\x80\x01"),
        (4, b"\x88" * 4, b"\0\x08", b"\0\x09"),
        (2, b"\xaa" * 2, b"\0\x02", b"\0\x01"),
        (8, b"\x80" * 8, b"\0\x80", b"\0\x81"),
    ],
)
def test_a_transparent_grey_is_that_one_alone(
    bits: int, row: bytes, clear: bytes, other: bytes
) -> None:
    def shown(clear: bytes) -> np.ndarray:
        return pictures._decode(io.BytesIO(png(8, bits, 0, (b"\0" + row) * 8, clear)), "it", 4)

    assert (shown(clear) == 255).all()
    assert (shown(other) < 200).all()


def test_a_transparent_colour_of_16_bits_is_white() -> None:
    colour = struct.pack(">HHH", 0x1234, 0x2345, 0x3456)
    content = png(8, 16, 2, (b"\0" + colour * 8) * 8, colour)
    assert (pictures._decode(io.BytesIO(content), "it", 4) == 255).all()


def test_what_is_no_picture_is_refused_in_one_sentence(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = save(tmp_path / "whole.png", noise(40, 40)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(tmp_path / "deep.tif", Image.new("F", (3, 3), 0.5))
    # Their 255 may be white, or next to black.
    save(tmp_path / "whole.tif", Image.new("I", (3, 3), 255))
    (tmp_path / "signed.tif").write_bytes(grey_tiff(16, 1, bytes(32), kind=2))
    (tmp_path / "signed8.tif").write_bytes(grey_tiff(8, 1, bytes(16), kind=2))
    (tmp_path / "half.tif").write_bytes(grey_tiff(16, 1, bytes(32), kind=3))
    # Pillow would have Ghostscript run it.
    (tmp_path / "program.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "bomb.png").write_bytes(png(100_000, 8, 2, bytes(100)))

    def error(name: str, size: int = 4) -> str:
        return sentence(read_picture, tmp_path / name, size).replace(f"{tmp_path}", "X")

    unknown = " is not a picture of a known format; try a JPEG or PNG"
    assert error("text.png") == f"X/text.png{unknown}"
    assert error("program.png") == f"X/program.png{unknown}"
    assert error("empty.png") == f"X/empty.png{unknown}"
    assert error("cut.png").startswith("X/cut.png is a damaged picture: ")
    assert error("cut.png").endswith("; save it again")
    assert error("deep.tif") == (
        "X/deep.tif has pixels of 32 bits, whose black and white are not known; "
        "save it with 8 or 16 bits"
    )
    assert error("whole.tif") == error("deep.tif").replace("deep", "whole")
    assert error("signed.tif") == (
        "X/signed.tif has pixels of 16 bits with a sign, whose black and white are not known; "
        "save it with 8 or 16 bits and no sign"
    )
    assert error("signed8.tif") == error("signed.tif").replace("16", "8", 1).replace("ed.", "ed8.")
    assert error("half.tif") == (
        "X/half.tif is a TIFF of a kind that is not read; try a JPEG or PNG"
    )
    assert error("bomb.png") == (
        f"X/bomb.png has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
    )
    assert error("none.png") == (
        "cannot read X/none.png: No such file or directory; give the file of a picture"
    )
    assert error("") == "cannot read X: Is a directory; give the file of a picture"
    assert error("whole.png", 0) == "size is 0 and must be at least 1"


def test_a_source_without_pictures_is_refused(tmp_path: Path, sentence: Callable) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no zip")
    assert sentence(picture_names, tmp_path / "empty").startswith(
        f"there is no picture in {tmp_path / 'empty'}; known are files that end in .bmp, .gif"
    )
    assert sentence(picture_names, tmp_path / "notes.txt") == (
        f"cannot read {tmp_path / 'notes.txt'}: it is no zip; "
        "give a folder of pictures or a zip of them"
    )
    assert "No such file" in sentence(picture_names, tmp_path / "none.zip")


def test_a_damaged_picture_in_a_zip_is_named(tmp_path: Path, sentence: Callable) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"no picture")
    assert sentence(read_pictures, archive, 4) == (
        f"a.png in {archive} is not a picture of a known format; try a JPEG or PNG"
    )
    content = archive.read_bytes().replace(b"no picture", b"on picture", 1)
    archive.write_bytes(content)
    assert sentence(read_pictures, archive, 4).startswith(f"a.png in {archive} is damaged: Bad CRC")
    assert sentence(read_pictures, archive, 4, ["b.png"]).startswith(f"b.png in {archive} is dam")


def test_what_unpacks_to_too_much_is_refused(
    tmp_path: Path, sentence: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", bytes(1001))
    monkeypatch.setattr(pictures, "_MOST_BYTES", 1000)
    assert sentence(read_pictures, archive, 4) == (
        f"a.png in {archive} unpacks to more than 1,000 bytes; leave it out"
    )


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".webp"])
def test_pictures_are_written_by_their_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_picture(path, np.full((8, 8, 3), 100, np.uint8))
    np.testing.assert_allclose(read_picture(path, 8).astype(int), 100, atol=3)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_unknown_ending_is_refused_and_nothing_is_written(
    tmp_path: Path, sentence: Callable
) -> None:
    pixels = noise(2, 2)
    assert sentence(write_picture, tmp_path / "a.txt", pixels) == (
        f"{str(tmp_path / 'a.txt')!r} names no format that pictures are written in; "
        "let it end in .png, .jpg, .jpeg, .webp"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("way", "place", "change"),
    [
        (zipfile.ZIP_LZMA, 45, b"\xff"),  # in the packed bytes
        (zipfile.ZIP_STORED, 4, b"\x7f"),  # the version that it takes to unpack
    ],
)
def test_a_damaged_zip_is_refused_in_a_short_sentence(
    tmp_path: Path, way: int, place: int, change: bytes, sentence: Callable
) -> None:
    path, content = tmp_path / "a.zip", io.BytesIO()
    write_picture(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    with zipfile.ZipFile(content, "w", way) as archive:
        archive.write(tmp_path / "a.png", "a.png")
    data = bytearray(content.getvalue())
    data[place : place + 1] = change
    if way == zipfile.ZIP_STORED:  # The directory at the end says it a second time.
        second = data.index(b"PK\x01\x02") + 6
        data[second : second + 1] = change
    path.write_bytes(data)
    error = sentence(read_pictures, path, 4)
    assert error.startswith(("a.png in ", "cannot read "))
    assert str(path) in error
    assert len(error) < 500


def test_a_member_without_a_name_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    write_picture(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
        archive.writestr("x", b"")
    # Python's writer gives every member a name; the byte of the last one is taken out by hand.
    data = path.read_bytes()
    directory = data.rindex(b"PK\x01\x02")
    cut = bytearray(data[: directory + 46] + data[directory + 47 :])
    cut[directory + 28] = 0
    size = cut.rindex(b"PK\x05\x06") + 12
    cut[size : size + 4] = (int.from_bytes(cut[size : size + 4], "little") - 1).to_bytes(
        4, "little"
    )
    path.write_bytes(cut)
    assert picture_names(path) == ["a.png"]
