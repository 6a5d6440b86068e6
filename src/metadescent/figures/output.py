"""Figures as files for print and screen."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metadescent._files import is_stream, write_atomically

SUFFIXES = (".svg", ".png")

if TYPE_CHECKING:
    import matplotlib.figure


def figure_paths(path: Path) -> list[Path]:
    """Return the files of a figure: `path`.svg and `path`.png, or the stream that `path` is.

    Where `path` ends in one of the two, that is not kept; run-0.5 has an ending of its own.
    """
    if is_stream(path):
        return [path]
    stem = path.with_suffix("") if path.suffix in SUFFIXES else path
    return [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]


def save_figure(figure: "matplotlib.figure.Figure", path: str | Path) -> list[Path]:
    """Write a figure as `path`.svg and, at 200 dpi, `path`.png; return the two paths.

    A `path` that ends in .svg or .png stands for both, too. A pipe is given the .png if its name
    ends so, and else the .svg. Files are written whole or not at all, and the same figure always
    gives the same bytes.

    Raises:
        UserError: if a file cannot be written.

    Example:
        >>> import tempfile
        >>> from matplotlib.figure import Figure
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figure(Figure(), Path(folder) / "figure4")]
        ['figure4.svg', 'figure4.png']
    """
    paths = figure_paths(Path(path))
    for file in paths:
        write_atomically(file, render(figure, ".png" if file.suffix == ".png" else ".svg"))
    return paths


def render(figure: "matplotlib.figure.Figure", suffix: str, dpi: int = 200) -> bytes:
    """Return a figure as the content of a ".svg" or ".png" file, always the same for the same."""
    import matplotlib

    # Without a date, and with ids that are not drawn by chance.
    options: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {"dpi": dpi}
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "metadescent"}):
        figure.savefig(content, format=suffix[1:], **options)
    return content.getvalue()
