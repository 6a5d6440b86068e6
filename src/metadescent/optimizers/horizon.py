"""T, the number of steps of a run, for rules whose schedules and clocks depend on it."""

from collections.abc import Callable
from typing import Any

from metadescent._errors import require
from metadescent.optimizers.base import LearnedOptimizer


def for_steps(m: LearnedOptimizer, steps: float | int) -> LearnedOptimizer:
    """Return m with T = `steps` in each of its parts that has a `horizon`; others are unchanged.

    Arguments:
        m: an optimizer, of one part or of several.
        steps: T, at least 1.

    Raises:
        UserError: if T is too small.

    Example:
        >>> import jax
        >>> from metadescent.optimizers.pace import Pace
        >>> for_steps(Pace(horizon=100.0, key=jax.random.key(0)), 2000).horizon
        2000.0
    """
    require("steps", steps, 1.0)
    return _replaced(m, lambda _: float(steps))


def for_open_steps(m: Any, steps: float | int) -> Any:
    """Return m with T = `steps` where it is open: in the parts whose `horizon` is 0."""
    return _replaced(m, lambda horizon: horizon or float(steps))


def _replaced(part: Any, replace: Callable[[float], float]) -> Any:
    """Return a part of an optimizer with each horizon replaced."""
    if type(part) is tuple:
        after = tuple(_replaced(x, replace) for x in part)
        return after if any(x is not y for x, y in zip(after, part, strict=True)) else part
    if not isinstance(part, LearnedOptimizer):
        return part
    after = {
        name: replace(value) if name == "horizon" else _replaced(value, replace)
        for name, value in vars(part).items()
    }
    if all(after[name] is value for name, value in vars(part).items()):
        return part
    # A module is frozen, and `eqx.tree_at` does not reach its static fields.
    other = object.__new__(type(part))
    for name, value in after.items():
        object.__setattr__(other, name, value)
    return other
