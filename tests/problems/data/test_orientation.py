"""The camera's note is read alone: whatever else goes with a picture, it is turned as it says."""

import io
import struct
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from metadescent.problems.data.orientation import camera_note
from metadescent.problems.data.pictures import _decode

CORNERS = np.zeros((8, 8, 3), np.uint8)
CORNERS[:4, :4], CORNERS[:4, 4:], CORNERS[4:, :4] = [255, 0, 0], [0, 255, 0], [0, 0, 255]
# How a picture with that note is to be turned, by the standard of EXIF.
UPRIGHT = {
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.swapaxes(0, 1),
    6: np.rot90(CORNERS, -1),
    7: CORNERS[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(CORNERS),
}
TAGS = (1, 4, 7, 0x10E, 0x10F, 0x11A, 0x128, 0x132, 0x8769, 0x8825, 0xA005, 0x927C, 0xFFFF)
TYPES = (*range(14), 255)


def exif(note: int, order: str, *, kind: int = 3, other: bytes = b"") -> bytes:
    """A table with the note and, where it belongs by its number, another tag."""
    value = {1: "B3x", 3: "H2x", 4: "I", 6: "b3x", 8: "h2x", 9: "i"}[kind]
    tags = sorted([other, struct.pack(f"{order}HHI{value}", 0x112, kind, 1, note)], key=by(order))
    count = sum(map(bool, tags))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, count)
    return b"Exif\0\0" + head + b"".join(tags) + bytes(4) + bytes(range(60, 120))


def by(order: str) -> object:
    return lambda tag: struct.unpack(f"{order}H", tag[:2] or b"\0\0")


def odd_tags(order: str) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for tag in TAGS:
        for kind in TYPES:
            count = rng.choice([0, 1, 2, 5, 1000, 2**31, 2**32 - 1])
            value = rng.choice([0, 40, 60, 2**32 - 1, *rng.integers(0, 2**32, 2)])
            yield struct.pack(f"{order}HHII", tag, kind, count, value)


def saved(form: str, **options: object) -> bytes:
    content = io.BytesIO()
    exact = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    Image.fromarray(CORNERS).save(content, form, **exact.get(form, {}), **options)
    return content.getvalue()


def assert_upright(content: bytes, note: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = _decode(io.BytesIO(content), "it", 8)
    np.testing.assert_allclose(pixels.astype(int), UPRIGHT[note], atol=9)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_an_odd_tag_beside_the_note_does_not_matter(form: str, order: str) -> None:
    for place, other in enumerate(odd_tags(order)):
        note = place % 8 + 1
        assert_upright(saved(form, exif=exif(note, order, other=other)), note)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_a_tiff_is_turned_once(compression: str) -> None:
    for note in UPRIGHT:
        tags = Image.Exif()
        tags[0x112] = note
        if compression == "jpeg":  # Its blocks would blur the corners.
            assert _decode(io.BytesIO(saved("TIFF", exif=tags, compression="jpeg")), "it", 8).any()
        else:
            assert_upright(saved("TIFF", exif=tags, compression=compression), note)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4, 6, 8, 9])
def test_the_note_may_be_of_one_two_or_four_bytes(kind: int, order: str) -> None:
    content = exif(6, order, kind=kind)
    assert camera_note({"exif": content}) == 6
    for name in ("exif", "APP1"):
        raw = f"\n{name}\n{len(content):8}\n{content.hex()}\n"
        assert camera_note({f"Raw profile type {name}": raw}) == 6


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_note_may_be_in_a_big_tiff(order: str) -> None:
    head = b"II+\0" if order == "<" else b"MM\0+"
    head += struct.pack(f"{order}HHQQ", 8, 0, 16, 1)
    for kind, value in {1: "B7x", 3: "H6x", 9: "i4x", 16: "Q"}.items():
        tag = struct.pack(f"{order}HHQ{value}", 0x112, kind, 1, 6)
        for begin in (b"", b"Exif\0\0"):
            assert camera_note({"exif": begin + head + tag + bytes(8)}) == 6


def tiff(order: str, big: bool, *others: tuple[int, int, int, int]) -> bytes:
    """A grey TIFF of 4 × 4 pixels by hand, with a note of 6 and other tags."""
    tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8000, 274: 6, 277: 1, 278: 4, 279: 16}
    table = sorted([*others, *((tag, 4, 1, value) for tag, value in tags.items())])
    if big:
        head = struct.pack(f"{order}HHQQ", 8, 0, 16, len(table))
        rows = [struct.pack(f"{order}HHQI4x", *row) for row in table]
    else:
        head = struct.pack(f"{order}IH", 8, len(table))
        rows = [struct.pack(f"{order}HHII", *row) for row in table]
    begin = ("II{}\0" if order == "<" else "MM\0{}").format("+" if big else "*").encode()
    return (begin + head + b"".join(rows)).ljust(8000, b"\0") + bytes(range(0, 256, 16))


# Pillow opens no BigTIFF of the order ">".
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_an_odd_tag_of_a_tiff_does_not_matter(order: str, big: bool) -> None:
    expected = np.rot90(np.arange(0, 256, 16).reshape(4, 4), -1)
    for tag in (*TAGS, 700, 0x14A, 0x8773):
        for kind in TYPES:
            for count, value in ((1000, 5), (5, 2**32 - 1), (2**31, 40), (0, 0)):
                content = tiff(order, big, (tag, kind, count, value))
                pixels = _decode(io.BytesIO(content), "it", 4)
                np.testing.assert_array_equal(pixels[..., 0], expected)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_xmp_is_read_as_it_goes_with_a_picture(form: str) -> None:
    name = "http://ns.adobe.com/tiff/1.0/"
    for note, packet in {
        3: f'<d xmlns:tiff="{name}" tiff:Orientation = " 3 "/>',
        4: f"<d xmlns:t='{name}'><t:Orientation>\n4\n</t:Orientation></d>",
        6: f'<d xmlns:t="{name}"\n\tt:Orientation\n=\n"6" t:Make="x"/>',
        7: f'<Orientation xmlns="{name}" a="b">7</Orientation>',
        8: f'<!-- tiff:Orientation="2" --><d xmlns:tiff="{name}" tiff:Orientation="8"/>',
        1: f'<d xmlns:t="{name}" other:Orientation="6" tiff:Orientation="5" t:Orientation="67"/>',
    }.items():
        assert camera_note({"xmp": packet.encode("utf-16")}) == note
        if form == "PNG":
            known = PngInfo()
            known.add_itxt("XML:com.adobe.xmp", packet)
            assert_upright(saved(form, pnginfo=known), note)
            digits = f"\nxmp\n{len(packet):8}\n{packet.encode().hex()}\n"
            known = PngInfo()
            known.add_text("Raw profile type xmp", digits, zip=True)
            assert_upright(saved(form, pnginfo=known), note)
        else:
            assert_upright(saved(form, xmp=packet.encode()), note)


def test_what_is_no_note_leaves_the_picture_as_it_is() -> None:
    whole = exif(6, ">")
    for size in range(len(whole) - 60):
        assert camera_note({"exif": whole[:size]}) in (1, 6)
    for note in (0, 9, 65535):
        assert camera_note({"exif": exif(note, "<")}) == 1
    for raw in ("zzzz", "\nexif\n      10\nzzzz", "\nexif\n 3\n4d4", "\nexif\n"):
        assert camera_note({"Raw profile type exif": raw}) == 1
    assert camera_note({"exif": b"\xff" * 40, "xmp": b"\xff tiff:Orientation='9'"}) == 1
    assert camera_note({}) == 1


def test_without_exif_the_note_of_xmp_counts() -> None:
    attribute, element = '<x tiff:Orientation="6"/>', "<tiff:Orientation>8</tiff:Orientation>"
    assert camera_note({"XML:com.adobe.xmp": attribute}) == 6
    assert camera_note({"xmp": element.encode()}) == 8
    assert camera_note({"xmp": attribute.replace('"', "'").encode()}) == 6
    assert camera_note({"xmp": attribute.encode(), "exif": exif(3, "<")}) == 3
    assert camera_note({"xmp": (1, 2)}) == 1
