"""The one exception whose message is meant for a person."""

import math


def require(name: str, value: object, low: float | int, high: float | int = math.inf) -> None:
    """Raise a UserError unless `value` is a number in low … high; NaN is never.

    Example:
        >>> require("epochs", 0, 1)
        Traceback (most recent call last):
        metadescent.errors.UserError: epochs is 0 and must be at least 1
    """
    if not (isinstance(value, int | float) and low <= value <= high):
        bound = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise UserError(f"{name} is {value!r} and must be {bound}")


class UserError(Exception):
    """Something that the caller can put right; its message says what, and how.

    The message is one sentence that names the thing, the value found and the value expected, and
    what to try. The command line prints it without a traceback and exits with status 2.

    Example:
        >>> raise UserError("horizon 90 is not a multiple of unroll 20; try 80 or 100")
        Traceback (most recent call last):
        metadescent.errors.UserError: horizon 90 is not a multiple of unroll 20; try 80 or 100
    """
