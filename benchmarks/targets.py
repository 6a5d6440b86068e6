"""What the meta-step was asked to show, and whether this run shows it.

Each answer is computed from the report of the run; a target whose figures were not measured in it
is left out. Our form is `two-phase` over all coordinates: the same L and dL/dφ as the references'.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from applied import limits

OURS = "two-phase"
PLAIN = ("textbook", "rows")
TORCH = ("torch", "torch, 1 thread")
LINEAR = 0.15
AT_MOST: Callable[[float, float], bool] = operator.le
AT_LEAST: Callable[[float, float], bool] = operator.ge


class Target(NamedTuple):
    """One target: what, how much was asked and found, as numbers and in words."""

    name: str
    asked: str
    got: str
    met: bool


def targets(report: dict[str, Any]) -> list[Target]:
    """Return every target that the report has the figures of."""
    parts = (_speed, _memory, _first_step, _applied, _linear)
    return [target for part in parts for target in part(report)]


def _speed(report: dict[str, Any]) -> Iterator[Target]:
    for name, unit, plain in (("mnist", "meta_step", 3.5), ("quadratic", "episode", 3.0)):
        case = report["cases"].get(name)
        if case is None:
            continue
        what = f"{name}, {unit.replace('_', '-')}"
        mine = case["forms"][OURS][unit]["median"]
        segments = case["segments"] if unit == "episode" else 1
        floor = segments * case["floors"]["floor"]["meta_step"]["median"]
        yield _target(f"{what} ÷ floor", AT_MOST, 2.0, mine / floor, "×")
        for form, asked in [(form, 3.0) for form in TORCH] + [(form, plain) for form in PLAIN]:
            other = case["forms"].get(form, {}).get(unit)
            if other:
                ratio = other["median"] / mine
                yield _target(f"{what}: × as fast as {form}", AT_LEAST, asked, ratio, "×")


def _memory(report: dict[str, Any]) -> Iterator[Target]:
    mnist = report["fresh"].get("mnist", {})
    mine = mnist.get(OURS, {})
    for form in PLAIN:
        other = mnist.get(form, {})
        if "peak" in mine and "peak" in other:
            for peak, word in (("peak", "peak"), ("run_peak", "peak of runs alone")):
                share = mine[peak] / other[peak]
                yield _target(f"mnist, {word} ÷ {form}'s", AT_MOST, 1 / 8, share, "×")
    for name, gibibytes in (("mnist, 1000 steps", 1.0), ("million", 2.0)):
        alone = report["fresh"].get(name, {}).get(OURS, {})
        if "peak" in alone:
            added, whole = alone["peak"] / 2**30, (alone["before"] + alone["peak"]) / 2**30
            yield _target(f"{name}, peak", AT_MOST, gibibytes, added, "GiB")
            yield _target(f"{name}, peak of the process", AT_MOST, gibibytes, whole, "GiB")


def _first_step(report: dict[str, Any]) -> Iterator[Target]:
    for name, forms in report["fresh"].items():
        mine = forms.get(OURS, {})
        if mine.get("warm"):
            what, compiled = f"{name}, first step", mine["first"] - mine.get("kernel", 0.0)
            yield _target(f"{what}, cold, kernel too", AT_MOST, 5.0, mine["first"], "s")
            yield _target(f"{what}, cold, kernel there", AT_MOST, 5.0, compiled, "s")
            yield _target(f"{what}, warm cache", AT_MOST, 2.0, mine["warm"], "s")


def _applied(report: dict[str, Any]) -> Iterator[Target]:
    if "million" in report["cases"]:
        found = limits(report["cases"]["million"])
        name = f"million, one update: share of limit ({found['binding']})"
        yield _target(name, AT_LEAST, 0.5, found["share"], "")


def _linear(report: dict[str, Any]) -> Iterator[Target]:
    for axis, exponent in report.get("linear", {}).get("exponents", {}).items():
        asked = f"1 ± {LINEAR:g}"
        met = abs(exponent - 1) <= LINEAR
        yield Target(f"cost ∝ {axis}ᵏ: k", asked, f"{exponent:.2f}", met)


def _target(
    name: str, holds: Callable[[float, float], bool], asked: float, got: float, unit: str
) -> Target:
    sign = "≤" if holds is AT_MOST else "≥"
    return Target(name, f"{sign} {asked:g} {unit}", f"{got:.3g} {unit}", holds(got, asked))
