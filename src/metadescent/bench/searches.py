"""Which of many rates to run: from the middle outward, as long as it may matter."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

PATIENCE = 2
"""A search ends on a side after so many rates in a row without an improvement."""

Curve = Float[np.ndarray, " points"]


def outward(curve_at: Callable[[int], Curve], count: int, first: int) -> dict[int, Curve]:
    """Return the curves of all rates that may be the lowest at some point, and of a few others.

    Arguments:
        curve_at: runs a rate, given by its place among them.
        count: how many rates there are.
        first: the place to begin with.

    On each side the search ends after `PATIENCE` rates that are nowhere below all others, because
    rates further out are even slower there, or diverge.

    Example:
        >>> curves = outward(lambda k: np.full(3, abs(k - 4.0)), 15, 6)
        >>> sorted(curves)
        [2, 3, 4, 5, 6, 7, 8]
    """
    curves = {first: curve_at(first)}
    for direction in (1, -1):
        place, idle = first + direction, 0
        while 0 <= place < count and idle < PATIENCE:
            curve = curve_at(place)
            # The first point is left out, because θ₀ is the same for all.
            others = np.min(list(curves.values()), axis=0)
            idle = 0 if (curve[1:] < others[1:]).any() else idle + 1
            curves[place] = curve
            place += direction
    return curves


def least(figure_at: Callable[[int], float], count: int, first: int) -> int:
    """Return a place whose figure is below its neighbours', downhill from the first.

    Example:
        >>> least(lambda k: (k - 3.2) ** 2, 10, 7)
        3
    """
    figures: dict[int, float] = {}

    def figure(place: int) -> float:
        if place not in figures:
            figures[place] = figure_at(place)
        return figures[place]

    best = first
    while True:
        around = [place for place in (best - 1, best + 1) if 0 <= place < count]
        downhill = min([best, *around], key=figure)
        if downhill == best:
            return best
        best = downhill
