"""The pictures of the neural-art experiments (section 3.4): contents in their splits, and styles.

The contents are 4000 photographs of 64 × 64 pixels from the validation set of Tiny ImageNet, 20 of
each of its 200 classes. They may not be redistributed, so they are not downloaded. Any folder or
zip of photographs can be used instead.
"""

import hashlib
from pathlib import Path, PurePosixPath
from types import NoneType

import numpy as np
from numpy.typing import NDArray

from metadescent._errors import UserError, require, require_kind
from metadescent._files import is_file
from metadescent._text import short
from metadescent.problems.data import store
from metadescent.problems.data.embedded import EMBEDDED, embedded_names, embedded_path
from metadescent.problems.data.pictures import WRITTEN, picture_names, read_picture, read_pictures

TINY_IMAGENET = "content/tiny_imagenet_val4000_64.zip"
# The place where each split begins, and how many pictures it has, as in section 3.4.
_SPLITS = {"train": (0, 1800), "validation": (1800, 20), "test": (1820, 100)}
_NEEDED = 1920


def split_names(names: list[str], split: str) -> list[str]:
    """Return the names in a split, sorted; "all" gives all names, without a split."""
    if split == "all":
        return sorted(names)
    if not isinstance(split, str) or split not in _SPLITS:
        raise UserError(f"there is no split {short(split)}; known are {', '.join(_SPLITS)} and all")
    if len(names) < _NEEDED:
        raise UserError(
            f"there are {len(names)} pictures and the paper's splits take {_NEEDED}; "
            'try split="all"'
        )
    # The order of hashes has nothing to do with what pictures show, and is the same everywhere.
    begin, count = _SPLITS[split]
    return sorted(sorted(names, key=_digest)[begin : begin + count])


def load_content(
    source: str | Path | None = None,
    size: int = 64,
    split: str = "train",
    data_dir: str | Path | None = None,
) -> NDArray[np.uint8]:
    """Return the content pictures of a split, of shape (pictures, size, size, 3).

    `source` is a folder or a zip of pictures, or the name of an embedded picture. By default it is
    the photographs of Tiny ImageNet in `store.data_dir(data_dir)`. `split` is "train" (1800),
    "validation" (20), "test" (100) or "all". No picture is in two splits, and the splits depend
    only on the pictures' names.

    Raises:
        UserError: if the pictures are missing, or are too few for the split.

    Example:
        >>> import tempfile
        >>> from metadescent.problems.data.pictures import write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_picture(Path(folder) / "grey.png", np.full((40, 30, 3), 128, np.uint8))
        ...     load_content(folder, size=16, split="all").shape
        (1, 16, 16, 3)
    """
    hint = "a folder or a zip of pictures, or None for Tiny ImageNet; try 'photographs'"
    require_kind("source", source, (str, Path, NoneType), hint)
    require("size", size, 1)
    if source is None:
        source = store.data_dir(data_dir) / TINY_IMAGENET
        if not is_file(source):
            raise UserError(
                f"{source} is missing and has no public home; name a folder or a zip of pictures "
                'of your own: content="photographs", split="all"'
            )
    # A file of that name takes precedence over the embedded picture.
    if source in EMBEDDED and not Path(source).exists():
        (name,) = split_names([str(source)], split)
        return read_picture(embedded_path(name), size)[None]
    return read_pictures(source, size, split_names(picture_names(source), split))


def content_path(content: str) -> Path:
    """Return the file of one content, given by its path or as the name of an embedded picture."""
    if Path(content).exists():
        return Path(content)
    if content in EMBEDDED:
        return embedded_path(content)
    known = ", ".join(embedded_names())
    raise UserError(
        f"there is no picture and no file {content!r}; known are {known}, or name a picture's file"
    )


def style_path(style: str, data_dir: str | Path | None = None) -> Path:
    """Return the file of a style, given by its path or as a name in `style` or in `EMBEDDED`."""
    folder = store.data_dir(data_dir) / "style"
    named = [folder / f"{style}{ending}" for ending in WRITTEN]
    for path in (Path(style), *named):
        if is_file(path):
            return path
    if style in EMBEDDED:
        return embedded_path(style)
    styles = sorted({path.stem for path in folder.glob("*") if path.suffix.lower() in WRITTEN})
    known = ", ".join([*styles, *embedded_names()])
    where = "" if styles else f"{folder} has none, "
    raise UserError(
        f"there is no style and no file {style!r}; {where}known are {known}, "
        "or name a picture's file"
    )


def _digest(name: str) -> bytes:
    # The hash leaves out the folder, so that pictures that are moved stay in their split.
    return hashlib.sha256(PurePosixPath(name).name.encode()).digest()
