"""Levels as text: losses, the steps at which they are usual, and how much each counts; no JAX."""

from collections.abc import Sequence
from typing import NamedTuple

from metadescent._errors import UserError, require


class Level(NamedTuple):
    """A loss, the step at which it is usual, and how much it counts."""

    loss: float
    step: float
    weight: float = 1.0


def parse_levels(text: str) -> tuple[Level, ...]:
    """Return levels as "LOSS@STEP*WEIGHT,…" has them; without a weight it is 1.

    Example:
        >>> parse_levels("0.5@10,0.1@100*2")
        (Level(loss=0.5, step=10.0, weight=1.0), Level(loss=0.1, step=100.0, weight=2.0))
    """
    levels = []
    for part in filter(None, text.split(",")):
        loss, _, rest = part.partition("@")
        step, star, weight = rest.partition("*")
        try:
            level = Level(float(loss), float(step), float(weight) if star else 1.0)
        except ValueError:
            raise UserError(
                f"{part!r} in levels is no loss at a step; try levels such as 0.5@10,0.1@100*2"
            ) from None
        require("step of a level", level.step, 1e-6)
        require("weight of a level", level.weight, 1e-6)
        levels.append(level)
    return tuple(levels)


def levels_text(levels: Sequence[Level]) -> str:
    """Return levels as a text that `parse_levels` reads."""
    return ",".join(
        f"{level.loss:.9g}@{level.step:.6g}" + (f"*{level.weight:g}" if level.weight != 1 else "")
        for level in levels
    )
