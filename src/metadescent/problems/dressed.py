"""The wrappers that problems with names offer as options, so that they can be written as such."""

from metadescent.problems.base import Problem
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.rescaled import Rescaled


def dressed(problem: Problem, *, rescale: float = 0.0, log: bool = False) -> Problem:
    """Return the problem, with its coordinates rescaled and its functions' logarithm if wanted.

    Arguments:
        rescale: each coordinate of θ has a random scale within e^±rescale; 0: none (`Rescaled`).
        log: take the logarithm (`Logarithm`).

    Example:
        >>> from metadescent.problems.convex import Convex
        >>> type(dressed(Convex(), rescale=1.0, log=True)).__name__
        'Logarithm'
    """
    if rescale:
        problem = Rescaled(problem, rescale)
    return Logarithm(problem) if log else problem
