"""Figures for dark pages: the same artists in other colours, while a file is written."""

import colorsys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import matplotlib.figure

GROUND = (0.09, 0.10, 0.12)
"""The colour that replaces white."""
LEAST = 0.25
"""The least luminance of a line on it: seven times the contrast of the ground itself."""


@contextmanager
def dark(figure: "matplotlib.figure.Figure") -> Iterator[None]:
    """Give a figure light ink on a dark ground within the block; pictures do not change."""
    # Figures and axes pass on the colours of their patch, and a marker may have those of its line.
    # Therefore all colours are read before any is changed.
    pairs = [
        (getattr(artist, f"get_{name}")(), getattr(artist, f"set_{name}"))
        for artist in figure.findobj(lambda artist: not hasattr(artist, "patch"))
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
        if hasattr(artist, f"get_{name}") and hasattr(artist, f"set_{name}")
    ]
    with ExitStack() as undo:
        for color, put in pairs:
            _exchange(color, put, undo)
        yield


def _exchange(color: Any, put: Callable[[Any], Any], undo: ExitStack) -> None:
    from matplotlib.colors import to_rgba_array

    before = to_rgba_array(color)
    # An artist without a fill has None, which is not a colour.
    if len(before):
        after = [on_dark(*rgba) for rgba in before.tolist()]
        put(after[0] if len(after) == 1 else after)
        undo.callback(partial(put, color))


def on_dark(red: float, green: float, blue: float, alpha: float = 1.0) -> tuple[float, ...]:
    """Return a colour for the dark ground: greys are inverted, dark colours made lighter."""
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if saturation < 0.1:
        return (*(g + (1 - lightness) * (0.93 - g) for g in GROUND), alpha)
    rgb = (red, green, blue)
    while luminance(rgb) < LEAST:
        lightness += 0.02
        rgb = colorsys.hls_to_rgb(hue, lightness, saturation)
    return (*rgb, alpha)


def luminance(rgb: tuple[float, ...]) -> float:
    """Return the relative luminance of a colour, by the Web's rules on contrast."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb[:3]]
    return sum(c * share for c, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
