"""Pictures of any format and size as bytes of red, green and blue: squares, or whole pictures.

The largest square in the middle of a picture, or the whole of it, is resized (Lanczos). A picture
that has the size already comes back byte for byte. Transparent pixels are laid on white. The
camera's note on which side is up is followed, and other notes are ignored. The first frame of an
animation is taken. Pixels whose black and white are not known are refused.
"""

import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError, require
from metadescent._files import is_stream, write_atomically
from metadescent.problems.data.orientation import pixels_alone, turn_upright

if TYPE_CHECKING:
    from PIL import Image, ImageFile

READ = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])
# Without this list Pillow would try sixty formats, and a file of one of them, EPS, is a program.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_BYTES = 1 << 28

Pixels = NDArray[np.uint8]


def read_picture(path: Path | str, size: int, least: int | None = None) -> Pixels:
    """Return the middle square of one picture, uint8 0 to 255 of shape (size, size, 3).

    With `least` it is the whole picture: `size` is the longer side, and the shorter side keeps
    their ratio. If the shorter side would be below `least`, it is `least`, and the ends of the
    picture are cut off.
    """
    require("size", size, 1)
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _decode(stream, str(path), size, least)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; give the file of a picture"
        ) from error


def picture_names(source: Path | str) -> list[str]:
    """Return the names of the pictures in a folder or a zip, and in folders within, sorted."""
    source = Path(source)
    if source.is_dir():
        paths = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
        files = [path.as_posix() for path in paths]
    else:
        with _opened(source) as archive:
            # A name may be empty, which `ZipInfo.is_dir` does not expect.
            files = [name for name in archive.namelist() if not name.endswith("/")]
    names = sorted(name for name in files if _is_picture(PurePosixPath(name)))
    if not names:
        raise UserError(
            f"there is no picture in {source}; known are files that end in "
            f"{', '.join(sorted(READ))}"
        )
    return names


def read_pictures(source: Path | str, size: int, names: Sequence[str] | None = None) -> Pixels:
    """Return the pictures of a folder or a zip that have these names, in this order; or all."""
    require("size", size, 1)
    source = Path(source)
    if names is None:
        names = picture_names(source)
    if source.is_dir():
        return np.stack([read_picture(source / name, size) for name in names])
    with _opened(source) as archive:
        return np.stack([_read_member(archive, name, source, size) for name in names])


def write_picture(path: Path | str, pixels: Pixels) -> None:
    """Write a picture of shape (height, width, 3), atomically, in the format of the ending."""
    from PIL import Image

    path, content = Path(path), io.BytesIO()
    options = {"quality": 95} if format_of(path) != "PNG" else {}
    Image.fromarray(pixels).save(content, format=format_of(path), **options)
    write_atomically(path, content.getvalue())


def format_of(path: Path) -> str:
    """Return the format that a picture is written in, by the file's ending; a pipe needs none."""
    if not path.suffix and is_stream(path):
        return "PNG"
    if path.suffix.lower() not in WRITTEN:
        raise UserError(
            f"{str(path)!r} names no format that pictures are written in; "
            f"let it end in {', '.join(WRITTEN)}"
        )
    return WRITTEN[path.suffix.lower()]


def _is_picture(name: PurePosixPath) -> bool:
    # macOS puts a folder of its own into zips, with hidden twins of all files.
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return name.suffix.lower() in READ and not hidden


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(source)
    except Exception as error:  # A damaged file may raise an error of any class.
        reason = getattr(error, "strerror", None) or "it is no zip"
        raise UserError(
            f"cannot read {source}: {reason}; give a folder of pictures or a zip of them"
        ) from error
    with archive:
        yield archive


def _read_member(archive: zipfile.ZipFile, name: str, source: Path, size: int) -> Pixels:
    where = f"{name} in {source}"
    try:
        # One byte more than is allowed shows that a member is too large.
        with archive.open(name) as stream:
            content = stream.read(_MOST_BYTES + 1)
    except Exception as error:
        raise UserError(f"{where} is damaged: {_reason(error)}; leave it out") from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"{where} unpacks to more than {_MOST_BYTES:,} bytes; leave it out")
    return _decode(io.BytesIO(content), where, size)


def _decode(
    stream: io.BytesIO | io.BufferedReader, where: str, size: int, least: int | None = None
) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    is_tiff = stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    stream.seek(0)
    if is_tiff:
        stream = io.BytesIO(pixels_alone(stream.read()))
    try:
        with warnings.catch_warnings():
            # Beyond about 90 million pixels Pillow warns, and beyond twice that it raises.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=_FORMATS) as image:
                return _fitted(image, where, size, least)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(
            f"{where} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        kind = "a TIFF of a kind that is not read" if is_tiff else "not a picture of a known format"
        raise UserError(f"{where} is {kind}; try a JPEG or PNG") from error
    except UserError:
        raise
    except Exception as error:  # As above, a damaged file may raise any class.
        raise UserError(f"{where} is a damaged picture: {_reason(error)}; save it again") from error


def _reason(error: BaseException) -> str:
    """Return the start of an error's text: some have the file's own bytes in them."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _fitted(image: "ImageFile.ImageFile", where: str, size: int, least: int | None) -> Pixels:
    from PIL import Image, ImageOps

    _scale_clear(image)
    turn_upright(image)
    upright = _eight_bits(image, where)
    try:
        # Pillow cannot convert grey that is multiplied by its opacity ("La") in one step.
        upright = upright.convert("LA") if upright.mode == "La" else upright
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            white = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(white, upright)
        upright = upright.convert("RGB")
    except ValueError as error:
        raise UserError(
            f"{where} has pixels of the kind {image.mode}, which have no red, green and blue; "
            "save it as RGB"
        ) from error
    longest = max(upright.size)
    width, height = (
        size if least is None else max(least, round(size * side / longest)) for side in upright.size
    )
    return np.asarray(ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS))


def _scale_clear(image: "ImageFile.ImageFile") -> None:
    """Convert the transparent colour to eight bits, as Pillow converts the pixels."""
    clear = image.info.get("transparency")
    # How the pixels are stored, such as "L;4".
    stored = image.tile[0][3] if image.format == "PNG" and image.tile else None
    if isinstance(clear, int) and stored in ("L;2", "L;4"):
        image.info["transparency"] = clear * (85 if stored == "L;2" else 17)
    if isinstance(clear, tuple) and stored == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _eight_bits(image: "ImageFile.ImageFile", where: str) -> "Image.Image":
    """Return pixels of 16 bits as their upper eight; Pillow's own conversion clips them at 255."""
    from PIL import Image

    # A TIFF says how many bits it has, and whether there is a sign or 0 is white.
    tags = getattr(image, "tag_v2", {})
    signed = 2 in tags.get(339, ())
    if not (signed or image.mode.startswith(("I", "F"))):
        return image
    bits = tags.get(258, (32 if image.mode == "F" else 16,))[0]
    if signed or image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        sign = signed and bits <= 16
        raise UserError(
            f"{where} has pixels of {bits} bits{' with a sign' if sign else ''}, whose black and "
            f"white are not known; save it with 8 or 16 bits{' and no sign' if sign else ''}"
        )
    values = np.asarray(image)
    upper = (values >> (bits - 8)).astype(np.uint8)
    grey = Image.fromarray(255 - upper if tags.get(262) == 0 else upper)
    # The transparent value has all 16 bits, so it is compared with the uncut values.
    clear = image.info.get("transparency")
    if clear is not None:
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
