"""Claims, and how they are judged: what it takes for a learning curve to be ahead or behind.

Intervals of a mean over steps are the means of the steps' own, which are never narrower than the
true ones. A loss or an interval that is not finite never supports a claim.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve, ratio

MORE = "it is more and the 95 % intervals are apart"
LESS = "it is less and the 95 % intervals are apart"


class Claim(NamedTuple):
    """What the paper says of a figure, and the two numbers that decide whether it holds."""

    text: str  # quotes the paper; says what the two numbers are and when the claim holds
    section: str  # of the paper
    measured: float
    reference: float
    holds: bool | None  # None: too little was computed to judge


class Score(NamedTuple):
    """A curve's mean or sum over its last steps, with a 95 % interval no narrower than the true."""

    value: float
    low: float
    high: float

    @property
    def rank(self) -> float:
        """Return what to compare scores by, the least being the best."""
        # NaN compares with nothing, so it would win or lose by its place.
        return self.value if math.isfinite(self.value) else math.inf


def score(curve: Curve, last: int) -> Score:
    """Average a curve over its last steps, or sum it if these are all."""
    if curve.rate is None and curve.diverged:
        # Its means leave out where it blew up: they are no ground for a claim.
        return Score(math.inf, math.inf, math.inf)
    factor = last if last == len(curve.mean) else 1
    return Score(*(factor * float(np.mean(values[-last:])) for values in curve[:3]))


def describe(steps: int, last: int) -> str:
    """Say what `score` returns of so many steps."""
    if last == 1:
        return f"loss after step {steps}"
    if last == steps:
        return f"sum of losses over steps 1–{steps}"
    return f"mean loss over steps {steps - last + 1}–{steps}"


def tenth(steps: int) -> int:
    """Return how many steps the final loss is averaged over where minibatches estimate it."""
    return max(1, steps // 10)


def learned_and_baselines(comparison: Comparison) -> tuple[Curve, dict[str, Curve]]:
    """Return the learned optimizer's curve, the only one without a rate, and the baselines'."""
    (learned,) = [curve for curve in comparison.curves.values() if curve.rate is None]
    return learned, {n: c for n, c in comparison.curves.items() if c.rate is not None}


def rivals(comparison: Comparison, last: int) -> tuple[Score, Score]:
    """Return the scores of the learned optimizer and of the best baseline that is finite."""
    learned, baselines = learned_and_baselines(comparison)
    scores = [score(curve, last) for curve in baselines.values()]
    return score(learned, last), min(scores, key=lambda rival: rival.rank)


def ahead(better: Score, worse: Score, margin: float = 1.0) -> bool:
    """Say whether one score is at most `margin` times another, with intervals that are apart."""
    finite = math.isfinite(better.value) and math.isfinite(worse.value)
    return finite and better.high < worse.low and _at_most(better, margin, worse)


def _at_most(score: Score, margin: float, other: Score) -> bool:
    """Say whether a score is at most `margin` times another, which nothing below zero is."""
    above = margin == 1.0 or min(score.value, other.value) >= 0
    return above and score.value <= margin * other.value


def outperforms(
    quotation: str, section: str, comparison: Comparison, last: int, margin: float = 1.0
) -> Claim:
    """Judge that the learned optimizer is ahead of the best baseline by its last steps' loss."""
    most = f"it is at most {margin:g} times as much and the 95 % intervals are apart"
    condition = LESS if margin == 1.0 else most
    return _beside_the_best(
        quotation, section, comparison, last, condition, lambda m, best: ahead(m, best, margin)
    )


def falls_behind(quotation: str, section: str, comparison: Comparison, last: int) -> Claim:
    """Judge that the best baseline is ahead of the learned optimizer by its last steps' loss."""
    return _beside_the_best(
        quotation, section, comparison, last, MORE, lambda m, best: ahead(best, m)
    )


def no_worse(text: str, section: str, comparison: Comparison, last: int) -> Claim:
    """Judge that the best baseline is not ahead of the learned optimizer."""

    def holds(measured: Score, best: Score) -> bool:
        finite = math.isfinite(measured.value) and math.isfinite(best.value)
        return finite and measured.low <= best.high

    condition = "it is less or the 95 % intervals touch"
    return _beside_the_best(text, section, comparison, last, condition, holds)


def within(text: str, section: str, comparison: Comparison, last: int, margin: float) -> Claim:
    """Judge that the learned optimizer's last steps' loss is at most `margin` times the best's."""

    def holds(measured: Score, best: Score) -> bool:
        return math.isfinite(best.value) and _at_most(measured, margin, best)

    condition = f"it is at most {margin:g} times as much"
    return _beside_the_best(text, section, comparison, last, condition, holds)


def outperforms_in_pairs(
    quotation: str, section: str, comparison: Comparison, margin: float = 1.0
) -> Claim:
    """Judge that the learned optimizer ends ahead of every baseline on the same problems."""
    # A baseline that diverged on some problems has no interval, and needs none.
    margins = [curve for curve in comparison.margins.values() if math.isfinite(curve.final)]
    above_zero = bool(margins) and all(curve.low[-1] > 0 for curve in margins)

    def holds(measured: Score, best: Score) -> bool:
        return above_zero and _at_most(measured, margin, best)

    condition = (
        f"it is at most {margin:g} times as much and the 95 % intervals of the difference to each "
        "baseline that did not diverge, on the same problems, are above zero"
    )
    return _beside_the_best(quotation, section, comparison, 1, condition, holds)


def outperforms_throughout(
    quotation: str, section: str, points: Mapping[str, Comparison], over: str, last: int
) -> Claim:
    """Judge that the learned optimizer is ahead of the best baseline at each of the points."""
    # The rival may be another baseline at each point.
    pairs = [rivals(comparison, last) for comparison in points.values()]
    steps = next(iter(points.values())).steps
    return Claim(
        f"{quotation}: the largest ratio, over {over}, of the LSTM's {describe(steps, last)} to "
        "that of the best baseline there, against one; holds if it is less and the 95 % intervals "
        "are apart throughout",
        section,
        float(np.max([ratio(measured.value, reference.value) for measured, reference in pairs])),
        1.0,
        all(ahead(measured, reference) for measured, reference in pairs),
    )


def lower_from(quotation: str, section: str, comparison: Comparison, first: int) -> Claim:
    """Judge that the learned optimizer's mean loss is below every baseline's from a step on."""
    learned, baselines = learned_and_baselines(comparison)
    means = np.stack([curve.mean[first - 1 :] for curve in baselines.values()])
    best = np.where(np.isfinite(means), means, np.inf).min(0)
    mine = learned.mean[first - 1 :]
    return Claim(
        f"{quotation}: the largest ratio, over steps {first}–{comparison.steps}, of the LSTM's "
        "loss to the least of any baseline at that step, against one; holds if it is less",
        section,
        float(np.max(ratio(mine, best))),
        1.0,
        not learned.diverged and bool(np.all((mine < best) & np.isfinite(best))),
    )


def _beside_the_best(
    quotation: str,
    section: str,
    comparison: Comparison,
    last: int,
    condition: str,
    holds: Callable[[Score, Score], bool],
) -> Claim:
    """Judge the learned optimizer's score beside the best baseline's; `condition` says `holds`."""
    measured, reference = rivals(comparison, last)
    return Claim(
        f"{quotation}: {describe(comparison.steps, last)}, the LSTM's against the best baseline's; "
        f"holds if {condition}",
        section,
        measured.value,
        reference.value,
        holds(measured, reference),
    )
