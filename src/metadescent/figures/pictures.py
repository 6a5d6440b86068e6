"""Appendix B's pictures for any optimizers on any problem, along a trajectory of the first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from metadescent.descent.beginnings import is_begun
from metadescent.descent.proposals import (
    Histories,
    around,
    draw_coordinates,
    functions,
    histories,
    scene,
)
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.figures.proposals import (
    draw_functions,
    draw_histories,
    function_panels,
    history_panels,
)
from metadescent.problems.base import Problem

if TYPE_CHECKING:
    import matplotlib.figure

# The number of steps at which an update is drawn as a function of the gradient, as in the paper.
FUNCTION_STEPS = 32


class Pictures(NamedTuple):
    """One trajectory, for some coordinates; a picture is drawn when it is asked for."""

    seen: Histories
    coordinates: list[int]
    values: Float[np.ndarray, "k points"]  # gradients
    curves: Mapping[str, Float[np.ndarray, "steps k points"]]  # the updates at them

    def histories(self) -> "matplotlib.figure.Figure":
        """Draw the updates of all coordinates, one above the other (figure 10)."""
        return draw_histories(history_panels(self.seen, self.coordinates, self._learned))

    def functions(self, coordinate: int) -> "matplotlib.figure.Figure":
        """Draw the update of one of the coordinates as a function of its gradient (figure 11)."""
        k = self.coordinates.index(coordinate)
        curves = {name: curve[:, k] for name, curve in self.curves.items()}
        values = self.values[k]
        return draw_functions(function_panels(self.seen, coordinate, values, curves, self._learned))

    @property
    def _learned(self) -> list[str]:
        # The first optimizer leads.
        first, *others = self.curves
        return [first, *filter(is_begun, others)]


def pictures_of(
    optimizers: Mapping[str, AnyOptimizer],
    problem: Problem,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    count: int = 2,
    seed: int = 0,
) -> Pictures:
    """Trace a trajectory of the first optimizer, and what the others would have proposed there.

    `count` coordinates are drawn by `seed` among those with a gradient.
    """
    where = scene(problem, key)
    seen = histories(optimizers, where, num_steps=num_steps)
    first = min(FUNCTION_STEPS, num_steps)
    # At random, so that what is shown was not selected.
    chosen = draw_coordinates(seen.gradients, count, seed)
    values = around(seen.gradients[:first, chosen])
    curves = functions(optimizers, where, chosen, values, num_steps=first)
    arrays = {name: np.asarray(curve) for name, curve in curves.items()}
    return Pictures(seen, chosen.tolist(), values, arrays)
