"""The wrappers that problems with names offer as options: `mnist(rescale=3.0, log=True)`."""

from metadescent.problems.base import Problem
from metadescent.problems.logarithm import Logarithm
from metadescent.problems.rescaled import Rescaled


def dress(problem: Problem, *, rescale: float = 0.0, log: bool = False) -> Problem:
    """Return `problem`, each coordinate scaled within e^±rescale, then the logarithm if wanted."""
    if rescale:
        problem = Rescaled(problem, rescale)
    # Outermost, so that it is the logarithm of what is descended.
    return Logarithm(problem) if log else problem
