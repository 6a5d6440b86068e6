"""Controls: a learned rule as it begins, with the φ before meta-training, and how it is called.

It stands beside the trained one wherever the paper's experiments are judged. It is not a baseline,
as nobody tuned it for the problem.
"""

ENDING = ", as it begins"


def as_begun(name: str) -> str:
    """Return what the rule of a name is called as it begins.

    Example:
        >>> as_begun("mnist-lstm")
        'mnist-lstm, as it begins'
    """
    return f"{name}{ENDING}"


def is_begun(name: str) -> bool:
    """Tell whether a name is that of a rule as it begins."""
    return name.endswith(ENDING)


def trained_of(name: str) -> str:
    """Return the name of the trained rule."""
    return name.removesuffix(ENDING)
