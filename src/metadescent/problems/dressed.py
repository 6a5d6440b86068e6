"""The wrappers that problems with names offer as options: `mnist(rescale=3.0, log=True)`."""

from metadescent.problems.base import Problem
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.rescaled import Rescaled


def dress(problem: Problem, *, rescale: float = 0.0, log: bool = False) -> Problem:
    """Return `problem`, its coordinates scaled within e^±rescale; if `log`, the logarithm of f."""
    if rescale:
        problem = Rescaled(problem, rescale)
    # The logarithm comes last, so that it is the logarithm of the function that is optimized.
    return Logarithm(problem) if log else problem
