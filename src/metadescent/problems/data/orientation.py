"""The camera's note on which side of a picture is up, read by itself: other tags are ignored.

It is tag 0x112 of EXIF, from 1 to 8, or tiff:Orientation of XMP. EXIF is a TIFF file without a
picture: its byte order, the place of a table, and twelve bytes for each tag.

    bytes 0-1    the tag
    bytes 2-3    the type of the value (1: a byte, 3: two of them, 4: four)
    bytes 4-7    how many
    bytes 8-11   the value, or its place
"""

import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import ImageFile

_TAG = 0x112
_TYPES = {1: "B", 3: "H", 4: "I"}
_XMP = ("XML:com.adobe.xmp", "xmp")


def turn_upright(image: "ImageFile.ImageFile") -> None:
    """Load a picture and turn it as its note says; Pillow alone would read all the other tags."""
    from PIL import ImageOps

    is_tiff = hasattr(image, "tag_v2")
    # PNG may have its note behind the pixels; TIFF is turned while it is loaded.
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


def camera_note(info: Mapping[Any, Any]) -> int:
    """Return the note, from 1 to 8, among what goes with a picture; 1, for upright, without one."""
    exif = info.get("exif") or b""
    # In a PNG of ImageMagick's it is in hexadecimal digits, below its name and length.
    raw = re.match(r"\s*exif\s+\d+\s([\da-fA-F\s]*)", str(info.get("Raw profile type exif")))
    if raw and not exif:
        digits = "".join(raw[1].split())
        exif = bytes.fromhex(digits[: len(digits) // 2 * 2])
    header = re.match(rb"(?:Exif\0\0)*(?:(II\*\0)|MM\0\*)", exif)
    # A table that is cut off ends there.
    with suppress(struct.error):
        note = _tagged(exif[header.end() - 4 :], "<" if header[1] else ">") if header else None
        if note is not None and 1 <= note <= 8:
            return note
    text = next((str(info[key]) for key in _XMP if info.get(key)), "")
    xmp = re.search(r"tiff:Orientation(?:\s*=\s*\\?[\"']|>)\s*([1-8])", text)
    return int(xmp[1]) if xmp else 1


def _tagged(tiff: bytes, order: str) -> int | None:
    (place,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, place)
    for start in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", tiff, start)
        if tag == _TAG and kind in _TYPES:
            return struct.unpack_from(order + _TYPES[kind], tiff, start + 8)[0]
    return None
