"""Figures as files for print and screen."""

import io
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from metadescent._errors import require_choice
from metadescent._files import is_stream, write_atomically
from metadescent.figures.theme import dark

SUFFIXES = (".svg", ".png")
Style = Literal["light", "dark", "transparent", "transparent-dark"]
STYLES: tuple[Style, ...] = ("light", "dark", "transparent", "transparent-dark")

if TYPE_CHECKING:
    import matplotlib.figure


def figure_paths(path: Path) -> list[Path]:
    """Return the files of a figure: `path`.svg and `path`.png, or the stream that `path` is.

    A suffix .svg or .png of `path` is replaced; other suffixes, as in run-0.5, stay.
    """
    if is_stream(path):
        return [path]
    stem = path.with_suffix("") if path.suffix in SUFFIXES else path
    return [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]


def save_figure(
    figure: "matplotlib.figure.Figure", path: str | Path, *, style: Style = "light"
) -> list[Path]:
    """Write a figure as `path`.svg and, at 200 dpi, `path`.png; return the two paths.

    Arguments:
        figure: the figure, which is not changed.
        path: of the two files, without their suffixes.
        style: "light" is dark ink on white; "dark" is light ink on a dark ground; "transparent" and
            "transparent-dark" are the same inks without a ground, for pages that have one.

    A `path` with the suffix .svg or .png stands for both, too. A pipe is given the .png if its name
    has this suffix, and the .svg otherwise. Files are written whole or not at all, and the same
    figure always gives the same bytes.

    Raises:
        UserError: if a file cannot be written, or there is no such style.

    Example:
        >>> import tempfile
        >>> from matplotlib.figure import Figure
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figure(Figure(), Path(folder) / "figure4")]
        ['figure4.svg', 'figure4.png']
    """
    require_choice("style", style, STYLES)
    paths = figure_paths(Path(path))
    for file in paths:
        suffix = ".png" if file.suffix == ".png" else ".svg"
        write_atomically(file, render(figure, suffix, style=style))
    return paths


def render(
    figure: "matplotlib.figure.Figure", suffix: str, dpi: int = 200, style: Style = "light"
) -> bytes:
    """Return a figure as the bytes of a ".svg" or ".png" file, the same bytes each time."""
    import matplotlib

    # There is no date, and ids are not drawn at random.
    options: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {"dpi": dpi}
    content, ink = io.BytesIO(), dark(figure) if "dark" in style else nullcontext()
    with matplotlib.rc_context({"svg.hashsalt": "metadescent"}), ink:
        # Otherwise Matplotlib would write another ground than the figure's own.
        options |= {"transparent": True} if "transparent" in style else {"facecolor": "auto"}
        figure.savefig(content, format=suffix[1:], **options)
    return content.getvalue()
