"""What an optimizer's file says of it, read without φ and without JAX."""

from pathlib import Path
from typing import Any

from metadescent._errors import UserError
from metadescent.tensors import read_metadata

FORMAT = 1


def read_card(path: str | Path) -> dict[str, Any]:
    """Return what an optimizer's file says of it, without reading φ.

    Raises:
        UserError: if the file is not an optimizer's, or its format is newer than this package.

    Example:
        >>> from metadescent import zoo
        >>> read_card(zoo.path("mnist-lstm"))["optimizer"]
        'lstm(p=10.0, scale=0.1)'
    """
    metadata = read_metadata(Path(path))
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {metadata.get('format')!r} and this version reads format {FORMAT}; "
            "try a newer metadescent"
        )
    if not isinstance(metadata.get("optimizer"), str):
        raise UserError(f"{path} holds no optimizer; it must be an optimizer.safetensors")
    return metadata
