"""T, the number of steps of a run, for rules whose schedules and clocks are parts of a run."""

from typing import Any

import equinox as eqx

from metadescent._errors import require
from metadescent.optimizers.base import LearnedOptimizer


def for_steps(m: LearnedOptimizer, steps: float | int) -> LearnedOptimizer:
    """Return m with T = `steps` in each of its parts that has a `horizon`; others are as they were.

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
    return _replaced(m, float(steps))


def _replaced(part: Any, steps: float) -> Any:
    if isinstance(part, tuple | list) and not hasattr(part, "_fields"):
        return type(part)(_replaced(x, steps) for x in part)
    if isinstance(part, dict):
        return {name: _replaced(x, steps) for name, x in part.items()}
    if not isinstance(part, eqx.Module):
        return part
    # A module is frozen, and its static fields are none of `eqx.tree_at`'s.
    other = object.__new__(type(part))
    for name, value in vars(part).items():
        object.__setattr__(other, name, steps if name == "horizon" else _replaced(value, steps))
    return other
