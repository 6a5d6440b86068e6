"""Figures as files for print and screen."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metadescent._files import write_atomically

if TYPE_CHECKING:
    import matplotlib.figure


def save_figure(figure: "matplotlib.figure.Figure", path: str | Path) -> list[Path]:
    """Write a figure as `path`.svg and, at 200 dpi, `path`.png; return the two paths.

    Both are written whole or not at all, and the same figure always gives the same bytes.

    Raises:
        UserError: if a file cannot be written.

    Example:
        >>> import tempfile
        >>> from matplotlib.figure import Figure
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figure(Figure(), Path(folder) / "figure4")]
        ['figure4.svg', 'figure4.png']
    """
    path = Path(path)
    written: list[Path] = []
    for suffix in (".svg", ".png"):
        written.append(path.with_name(path.name + suffix))
        write_atomically(written[-1], render(figure, suffix))
    return written


def render(figure: "matplotlib.figure.Figure", suffix: str, dpi: int = 200) -> bytes:
    """Return a figure as the content of a ".svg" or ".png" file, always the same for the same."""
    import matplotlib

    # Without a date, and with ids that are not drawn by chance.
    options: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {"dpi": dpi}
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "metadescent"}):
        figure.savefig(content, format=suffix[1:], **options)
    return content.getvalue()
