"""h of `tailored`: what it knows of the run so far."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float

from metadescent.optimizers.bfgs import CurvatureMatrix
from metadescent.optimizers.quasi_newton import CurvaturePairs
from metadescent.optimizers.tailored.cells import State as CellState

Curvature = CurvaturePairs | CurvatureMatrix


class Progress(NamedTuple):
    """h of the rule: what it knows of the run so far."""

    means: Float[Array, "betas n"]
    root: Float[Array, " n"]
    steps: Float[Array, ""]  # how many were kept
    first: Float[Array, ""]  # r, 0 before it is known
    hidden: tuple[Float[Array, " units"], Float[Array, " units"]]
    pairs: Curvature  # with θ and ∇̃ where the last step began
    step: Float[Array, " n"]  # the last step, s
    cells: CellState | None  # h and c of each coordinate
    radius: Float[Array, ""]
    retreats: Float[Array, ""]
    has_start: Bool[Array, ""] | None  # whether θ₀ has been multiplied
