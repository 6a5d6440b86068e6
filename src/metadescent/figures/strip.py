"""Pictures side by side with text below each, in pixels and not in a figure's inches."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

Pixels = UInt8[np.ndarray, "height width 3"]

_GAP = 8
_SIDE, _WIDTH = 512, 2200  # the most pixels of a picture's longer side, and of a row's width
_LETTERS = 28


class Labelled(NamedTuple):
    """A picture, and the lines of text below it."""

    picture: Pixels
    lines: Sequence[str]


def draw_strip(pictures: Sequence[Labelled]) -> Pixels:
    """Return the pictures on white, in one row or, if that is too wide, in several.

    No picture is larger than the first.
    """
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    shown = [Image.fromarray(picture) for picture, _ in pictures]
    shown[0].thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    for image in shown[1:]:
        image.thumbnail(shown[0].size, Image.Resampling.LANCZOS)
    width, height = shown[0].size
    size = max(11, height // 20)
    # Matplotlib comes with this font, which has the letters of most alphabets.
    font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    texts = ["\n".join(map(_short, lines)) for _, lines in pictures]
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [draw.multiline_textbbox((0, 0), text, font) for text in texts]
    # A name may be wider than a small picture.
    cell = max(width, *(round(box[2]) for box in boxes)) + _GAP
    below = height + 2 * _GAP + round(max(box[3] for box in boxes))
    columns = max(1, min(len(shown), (_WIDTH - _GAP) // cell))
    rows = -(-len(shown) // columns)
    columns = -(-len(shown) // rows)  # rows of nearly equal length
    strip = Image.new("RGB", (columns * cell + _GAP, rows * below + _GAP), "white")
    draw = ImageDraw.Draw(strip)
    for index, (image, text) in enumerate(zip(shown, texts, strict=True)):
        row, column = divmod(index, columns)
        middle, top = _GAP // 2 + column * cell + cell // 2, _GAP + row * below
        strip.paste(image, (middle - image.width // 2, top + height - image.height))
        place = (middle, top + height + _GAP // 2)
        draw.multiline_text(place, text, "black", font, anchor="ma", align="center")
    return np.asarray(strip)


def _short(line: str) -> str:
    """Return a line without its middle if it is long, such as the path of a file."""
    half = _LETTERS // 2
    return line if len(line) <= _LETTERS else f"{line[: half - 1]}…{line[-half:]}"
