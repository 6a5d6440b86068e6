"""Pictures of any kind and size, as squares of bytes: (size, size, 3), red, green and blue.

The largest square in the middle of a picture is cut out and resized (Lanczos). A picture that is
that square already comes through byte for byte. Transparency is laid on white, the camera's note on
which side is up is heeded, and of an animation the first frame counts.
"""

import io
import lzma
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError, require
from metadescent._files import write_atomically

if TYPE_CHECKING:
    from PIL import Image

READ = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_BYTES = 1 << 28
# What Pillow raises on files that are cut off or made up.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, AttributeError,
    EOFError, OverflowError, MemoryError, RuntimeError, NotImplementedError,
    struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip

Pixels = NDArray[np.uint8]


def read_picture(path: Path | str, size: int) -> Pixels:
    """The middle square of one picture, uint8 0 to 255 of shape (size, size, 3).

    Raises `UserError` if the file cannot be read, is no picture or a damaged one, or has so many
    pixels that it would take the memory.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "red.png")
        ...     write_picture(path, np.full((2, 2, 3), [255, 0, 0], np.uint8))
        ...     read_picture(path, 1)
        array([[[255,   0,   0]]], dtype=uint8)
    """
    require("size", size, 1)
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _decode(stream, str(path), size)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; give the file of a picture"
        ) from error


def picture_names(source: Path | str) -> list[str]:
    """The names of the pictures in a folder or a zip, and in the folders inside of it, sorted.

    A picture is what has the ending of one; hidden files are left out.

    Raises `UserError` if there is no such folder or zip, or it has no picture.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "a.jpg", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     picture_names(folder)
        ['a.jpg', 'b.png']
    """
    source = Path(source)
    if source.is_dir():
        paths = (path.relative_to(source) for path in source.rglob("*") if path.is_file())
        found = [path.as_posix() for path in paths]
    else:
        with _opened(source) as archive:
            # A name may be empty, which `ZipInfo.is_dir` does not expect.
            found = [name for name in archive.namelist() if not name.endswith("/")]
    names = sorted(name for name in found if _is_picture(PurePosixPath(name)))
    if not names:
        raise UserError(
            f"there is no picture in {source}; known are files that end in "
            f"{', '.join(sorted(READ))}"
        )
    return names


def read_pictures(source: Path | str, size: int, names: Sequence[str] | None = None) -> Pixels:
    """The pictures of a folder or a zip that have these names, in this order; all if not given.

    The shape is (pictures, size, size, 3).

    Raises `UserError` as `read_picture` and `picture_names` do.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, value in {"black.png": 0, "white.png": 255}.items():
        ...         write_picture(Path(folder, name), np.full((2, 3, 3), value, np.uint8))
        ...     pictures = read_pictures(folder, 1)
        >>> pictures.shape, pictures[:, 0, 0, 0].tolist()
        ((2, 1, 1, 3), [0, 255])
    """
    require("size", size, 1)
    source = Path(source)
    if names is None:
        names = picture_names(source)
    if source.is_dir():
        return np.stack([read_picture(source / name, size) for name in names])
    with _opened(source) as archive:
        return np.stack([_read_member(archive, name, source, size) for name in names])


def write_picture(path: Path | str, pixels: Pixels) -> None:
    """Write a picture of shape (height, width, 3), atomically.

    The file's ending names the format.

    Raises `UserError` if the ending is none of `WRITTEN`, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "green.png")
        ...     write_picture(path, np.full((4, 6, 3), [0, 255, 0], np.uint8))
        ...     read_picture(path, 1)
        array([[[  0, 255,   0]]], dtype=uint8)
    """
    from PIL import Image

    path, content = Path(path), io.BytesIO()
    options = {"quality": 95} if format_of(path) != "PNG" else {}
    Image.fromarray(pixels).save(content, format=format_of(path), **options)
    write_atomically(path, content.getvalue())


def format_of(path: Path) -> str:
    """The format that a picture is written in, by the file's ending.

    Example:
        >>> format_of(Path("holiday.jpg"))
        'JPEG'
    """
    if path.suffix.lower() not in WRITTEN:
        raise UserError(
            f"{str(path)!r} names no format that pictures are written in; "
            f"let it end in {', '.join(WRITTEN)}"
        )
    return WRITTEN[path.suffix.lower()]


def _is_picture(name: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return name.suffix.lower() in READ and not hidden


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(source)
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or "it is no zip"
        raise UserError(
            f"cannot read {source}: {reason}; give a folder of pictures or a zip of them"
        ) from error
    with archive:
        yield archive


def _read_member(archive: zipfile.ZipFile, name: str, source: Path, size: int) -> Pixels:
    where = f"{name} in {source}"
    try:
        with archive.open(name) as stream:
            content = stream.read(_MOST_BYTES + 1)
    except _DAMAGE as error:
        raise UserError(f"{where} is damaged: {_reason(error)}; leave it out") from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"{where} unpacks to more than {_MOST_BYTES:,} bytes; leave it out")
    return _decode(io.BytesIO(content), where, size)


def _decode(stream: io.BytesIO | io.BufferedReader, where: str, size: int) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Beyond about 90 million pixels Pillow warns, and beyond twice that it raises.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream) as image:
                return _square(image, where, size)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError(
            f"{where} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
        ) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{where} is not a picture of a known format; try a JPEG or PNG") from error
    except _DAMAGE as error:
        raise UserError(f"{where} is a damaged picture: {_reason(error)}; save it again") from error


def _reason(error: BaseException) -> str:
    """Return the start of what an error says: some have the file's own bytes in them."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _square(image: "Image.Image", where: str, size: int) -> Pixels:
    from PIL import Image, ImageOps

    upright = _eight_bits(ImageOps.exif_transpose(image), where)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    fitted = ImageOps.fit(upright.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(fitted)


def _eight_bits(image: "Image.Image", where: str) -> "Image.Image":
    """Pixels of 16 bits as their upper eight, where Pillow's own conversion would cut them off."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() >= 1 << 16:
        raise UserError(
            f"{where} has pixels of 32 bits, whose black and white are not known; "
            "save it with 8 or 16 bits"
        )
    return Image.fromarray((values >> 8).astype(np.uint8))
