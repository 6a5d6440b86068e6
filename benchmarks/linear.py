"""What the two-phase meta-step costs as coordinates and as steps grow."""

import math
from typing import Any

from cases import make
from meta_step import MetaStep
from timing import in_turn, measured

SIZES = (4_096, 16_384, 65_536, 262_144)
LENGTHS = (20, 40, 80, 160)
SHARED = (16_384, 20)
REPEATS = 5


def linear(repeats: int) -> dict[str, Any]:
    """Return the meta-step of a diagonal quadratic, at four sizes and four unroll lengths."""
    grid = dict.fromkeys([(n, SHARED[1]) for n in SIZES] + [(SHARED[0], T) for T in LENGTHS])
    steps = {
        f"{n} × {T}": MetaStep(make("million", dimension=n, steps=T), "two-phase").compile()
        for n, T in grid
    }
    seconds = in_turn(steps, min(repeats, REPEATS))
    times = {(n, T): measured(seconds[f"{n} × {T}"]) for n, T in grid}
    result = {
        "coordinates": [_row(n, SHARED[1], times[n, SHARED[1]]) for n in SIZES],
        "steps": [_row(SHARED[0], T, times[SHARED[0], T]) for T in LENGTHS],
    }
    return result | {"exponents": {axis: _exponent(axis, result[axis]) for axis in result}}


def _row(n: int, T: int, time: dict[str, Any]) -> dict[str, Any]:
    nanoseconds = 1e9 * time["median"] / (n * T)
    return {"coordinates": n, "steps": T, "meta_step": time, "ns": nanoseconds}


def _exponent(axis: str, rows: list[dict[str, Any]]) -> float:
    """Return k of the fit seconds ∝ sizeᵏ; 1 is linear."""
    xs = [math.log(row[axis]) for row in rows]
    ys = [math.log(row["meta_step"]["median"]) for row in rows]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - x_mean) ** 2 for x in xs)
