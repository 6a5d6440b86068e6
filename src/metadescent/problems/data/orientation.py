"""The camera's note on which side of a picture is up; all other tags are ignored.

It is tag 0x112 of EXIF, from 1 to 8, or tiff:Orientation of XMP. EXIF is a TIFF file without a
picture: its byte order, the place of a table, and twelve bytes for each tag.

    bytes 0-1    the tag
    bytes 2-3    the type of the value (1: a byte, 3: two of them, 4: four; 6, 8, 9: with a sign)
    bytes 4-7    the count of values
    bytes 8-11   the value, or its place

In a BigTIFF the count and the value have eight bytes each.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import ImageFile

_TAG = 0x112
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q"}
_XMP = ("XML:com.adobe.xmp", "xmp")
_TIFF = re.compile(rb"(?:Exif\0\0)*(?:II([*+])\0|MM\0([*+]))")
# The tags that describe the pixels, their place in the file, and which side is up.
_NEEDED = {*range(254, 260), 262, 266, 273, _TAG, 277, 278, 279, 284, 317, *range(320, 326), 338}
_NEEDED |= {339, 347, *range(512, 522), *range(529, 533), 0xBC01}


def turn_upright(image: "ImageFile.ImageFile") -> None:
    """Load a picture and turn it as its note says; Pillow alone would read all the other tags."""
    from PIL import ImageOps

    is_tiff = hasattr(image, "tag_v2")
    # A PNG may have its note behind the pixels. A TIFF is turned while it is loaded.
    if not is_tiff:
        image.load()
    note = camera_note(image.info)
    for key in ("exif", "Raw profile type exif", *_XMP):
        image.info.pop(key, None)
    exif = image.getexif()
    if is_tiff:
        note = exif.get(_TAG, note)
    for tag in list(exif):
        del exif[tag]
    exif[_TAG] = note
    image.load()
    ImageOps.exif_transpose(image, in_place=True)


def pixels_alone(content: bytes) -> bytes:
    """Return a TIFF whose unneeded tags are one byte each: at an odd tag Pillow stops reading."""
    kept = bytearray(content)
    with suppress(struct.error):
        for start, order, big in _tags(content):
            tag, kind, count = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", content, start)
            # Tag 700 is XMP, which may have the note.
            end = struct.unpack_from(order + "IQ"[big], content, start + (8, 12)[big])[0] + count
            if tag not in _NEEDED and not (tag == 700 and kind in (1, 7) and end <= len(content)):
                struct.pack_into(f"{order}H{'Q' if big else 'I'}", kept, start + 2, 1, 1)
    return bytes(kept)


def camera_note(info: Mapping[Any, Any]) -> int:
    """Return the note in a picture's metadata, from 1 to 8; 1, for upright, if there is none."""
    # ImageMagick's PNGs may have EXIF or XMP in hexadecimal digits, below its name and length.
    raw = [_unpacked(info[key]) for key in info if str(key).startswith("Raw profile type ")]
    for exif in (_bytes(info.get("exif")), *raw):
        # In a table that is cut off, the missing tags are ignored.
        with suppress(struct.error):
            note = _tagged(exif)
            if note is not None and 1 <= note <= 8:
                return note
    return next(filter(None, map(_of_xmp, (*(_bytes(info.get(key)) for key in _XMP), *raw))), 1)


def _bytes(value: Any) -> bytes:
    """Return a text as bytes, bytes as they are, and no bytes for anything else."""
    value = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return value if isinstance(value, bytes) else b""


def _unpacked(text: Any) -> bytes:
    raw = re.match(r"\s*[^\n]*\n\s*\d+\s([\da-fA-F\s]*)", str(text))
    digits = "".join(raw[1].split()) if raw else ""
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _of_xmp(xmp: bytes) -> int | None:
    # Without its zero bytes, UTF-16 equals UTF-8 in all characters that are searched for.
    text = re.sub(r"<!--.*?-->", "", xmp.replace(b"\0", b"").decode("utf-8", "replace"), flags=re.S)
    names = re.findall(r"""xmlns(:[\w.-]+)?\s*=\s*["']http://ns\.adobe\.com/tiff/1\.0/["']""", text)
    names = "|".join(f"{re.escape(name[1:])}:" if name else "" for name in names or [":tiff"])
    # An attribute, or an element with attributes of its own.
    note = rf"""[\s<](?:{names})Orientation(?:\s*=\s*["']|(?:\s[^<>]*)?>)\s*([1-8])\s*["'<]"""
    match = re.search(note, text)
    return int(match[1]) if match else None


def _tags(tiff: bytes) -> Iterator[tuple[int, str, bool]]:
    """Yield where each entry of the first table begins, the byte order, and if it is a BigTIFF."""
    header = _TIFF.match(tiff)
    if not header:
        return
    first, order = header.end() - 4, "<" if header[1] else ">"
    big = b"+" in header.groups()
    (place,) = struct.unpack_from(order + "IQ"[big], tiff, first + (4, 8)[big])
    (count,) = struct.unpack_from(order + "HQ"[big], tiff, first + place)
    start, size = first + place + (2, 8)[big], (12, 20)[big]
    yield from ((start + size * k, order, big) for k in range(count))


def _tagged(tiff: bytes) -> int | None:
    for start, order, big in _tags(tiff):
        tag, kind = struct.unpack_from(f"{order}HH", tiff, start)
        if tag == _TAG and kind in _TYPES and (big or kind != 16):
            return struct.unpack_from(order + _TYPES[kind], tiff, start + (8, 12)[big])[0]
    return None
