"""Controls: a learned rule as it begins, with the φ before meta-training, and its name.

The paper's experiments compare it with the trained rule wherever they judge that. It is not a
baseline, because it is not tuned for the problem.
"""

ENDING = ", as it begins"


def as_begun(name: str) -> str:
    """Return the name of a rule as it begins.

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
