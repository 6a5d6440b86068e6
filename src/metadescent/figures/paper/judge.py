"""How claims are judged: scores of learning curves, and what it takes to be ahead or behind.

Intervals of a mean over steps are the means of the steps' own, which are never narrower than the
true ones. What is not finite, a loss or an interval, never supports a claim.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.figures.paper import Claim


class Score(NamedTuple):
    """A curve's mean or sum over its last steps, with a 95 % interval no narrower than the true."""

    value: float
    low: float
    high: float


def score(curve: Curve, last: int) -> Score:
    """Average over the last steps, or sum if these are all.

    Example:
        >>> import numpy as np
        >>> mean = np.array([4.0, 2.0, 1.0])
        >>> score(Curve(mean, mean - 1, mean + 1), 2), score(Curve(mean, mean - 1, mean + 1), 3)
        (Score(value=1.5, low=0.5, high=2.5), Score(value=7.0, low=4.0, high=10.0))
    """
    factor = last if last == len(curve.mean) else 1
    return Score(*(factor * float(np.mean(values[-last:])) for values in curve[:3]))


def split(comparison: Comparison) -> tuple[Curve, dict[str, Curve]]:
    """Return the learned optimizer's curve, the only one without a rate, and the baselines'."""
    (learned,) = [curve for curve in comparison.curves.values() if curve.rate is None]
    return learned, {n: c for n, c in comparison.curves.items() if c.rate is not None}


def rivals(comparison: Comparison, last: int) -> tuple[Score, Score]:
    """Return the scores of the learned optimizer and of the best baseline that is finite."""
    learned, baselines = split(comparison)
    best = min(
        (score(curve, last) for curve in baselines.values()),
        key=lambda found: found.value if math.isfinite(found.value) else math.inf,
    )
    return score(learned, last), best


def ahead(better: Score, worse: Score, margin: float = 1.0) -> bool:
    """Say whether one score is at most `margin` times another, with intervals that are apart.

    Example:
        >>> ahead(Score(0.25, 0.24, 0.26), Score(0.33, 0.32, 0.34), margin=0.8)
        True
        >>> ahead(Score(0.32, 0.30, 0.34), Score(0.33, 0.32, 0.34))
        False
    """
    finite = math.isfinite(better.value) and math.isfinite(worse.value)
    return finite and better.high < worse.low and better.value <= margin * worse.value


def outperforms(
    quotation: str, section: str, comparison: Comparison, last: int, margin: float = 1.0
) -> Claim:
    """Judge that the learned optimizer is ahead of the best baseline by its last steps' loss."""
    measured, reference = rivals(comparison, last)
    most = "less" if margin == 1.0 else f"at most {margin:g} times as much"
    return Claim(
        f"{quotation}: {what(comparison.steps, last)}, the LSTM's against the best baseline's; "
        f"holds if it is {most} and the 95 % intervals are apart",
        section,
        measured.value,
        reference.value,
        ahead(measured, reference, margin),
    )


def outperforms_in_pairs(
    quotation: str, section: str, comparison: Comparison, margin: float = 1.0
) -> Claim:
    """Judge that the learned optimizer is ahead of every baseline on the same problems.

    By the loss after the last step, whose mean is at most `margin` times the best baseline's. What
    it takes to be sure is that no 95 % interval of the difference to a baseline, over problems,
    reaches down to zero; a baseline that diverged on some has no interval, and needs none.
    """
    measured, reference = rivals(comparison, 1)
    margins = [curve for curve in comparison.margins.values() if math.isfinite(curve.final)]
    return Claim(
        f"{quotation}: {what(comparison.steps, 1)}, the LSTM's against the best baseline's; holds "
        f"if it is at most {margin:g} times as much and the 95 % intervals of the difference to "
        "each baseline that did not diverge, on the same problems, are above zero",
        section,
        measured.value,
        reference.value,
        bool(margins)
        and measured.value <= margin * reference.value
        and all(curve.low[-1] > 0 for curve in margins),
    )


def falls_behind(quotation: str, section: str, comparison: Comparison, last: int) -> Claim:
    """Judge that the best baseline is ahead of the learned optimizer by its last steps' loss."""
    measured, reference = rivals(comparison, last)
    return Claim(
        f"{quotation}: {what(comparison.steps, last)}, the LSTM's against the best baseline's; "
        "holds if it is more and the 95 % intervals are apart",
        section,
        measured.value,
        reference.value,
        ahead(reference, measured),
    )


def no_worse(text: str, section: str, comparison: Comparison, last: int) -> Claim:
    """Judge that the best baseline is not ahead of the learned optimizer."""
    measured, reference = rivals(comparison, last)
    finite = math.isfinite(measured.value) and math.isfinite(reference.value)
    return Claim(
        f"{text}: {what(comparison.steps, last)}, the LSTM's against the best baseline's; holds if "
        "it is less or the 95 % intervals touch",
        section,
        measured.value,
        reference.value,
        finite and measured.low <= reference.high,
    )


def within(text: str, section: str, comparison: Comparison, last: int, margin: float) -> Claim:
    """Judge that the learned optimizer's last steps' loss is at most `margin` times the best's."""
    measured, reference = rivals(comparison, last)
    return Claim(
        f"{text}: {what(comparison.steps, last)}, the LSTM's against the best baseline's; holds if "
        f"it is at most {margin:g} times as much",
        section,
        measured.value,
        reference.value,
        math.isfinite(reference.value) and measured.value <= margin * reference.value,
    )


def outperforms_throughout(
    quotation: str, section: str, points: Mapping[str, Comparison], over: str, last: int
) -> Claim:
    """Judge that the learned optimizer is ahead of the best baseline at every one of some points.

    `over` says what the points are.
    """
    pairs = [rivals(comparison, last) for comparison in points.values()]
    steps = next(iter(points.values())).steps
    return Claim(
        f"{quotation}: the largest ratio, over {over}, of the LSTM's {what(steps, last)} to that "
        "of the best baseline there, against one; holds if it is less and the 95 % intervals are "
        "apart throughout",
        section,
        float(np.max([measured.value / reference.value for measured, reference in pairs])),
        1.0,
        all(ahead(measured, reference) for measured, reference in pairs),
    )


def lower_from(quotation: str, section: str, comparison: Comparison, first: int) -> Claim:
    """Judge that the learned optimizer's mean loss is below every baseline's from a step on."""
    learned, baselines = split(comparison)
    means = np.stack([curve.mean[first - 1 :] for curve in baselines.values()])
    best = np.where(np.isfinite(means), means, np.inf).min(0)
    with np.errstate(divide="ignore", invalid="ignore"):  # no loss, or none that is finite
        ratios = learned.mean[first - 1 :] / best
    return Claim(
        f"{quotation}: the largest ratio, over steps {first}–{comparison.steps}, of the LSTM's "
        "loss to the least of any baseline at that step, against one; holds if it is less",
        section,
        float(np.max(ratios)),
        1.0,
        bool(np.all((ratios < 1) & np.isfinite(best))),
    )


def tenth(steps: int) -> int:
    """Return how many steps the final loss is averaged over where minibatches estimate it.

    Example:
        >>> tenth(100), tenth(4)
        (10, 1)
    """
    return max(1, steps // 10)


def what(steps: int, last: int) -> str:
    """Say what a score is.

    Example:
        >>> what(100, 1), what(100, 10), what(100, 100)
        ('loss after step 100', 'mean loss over steps 91–100', 'sum of losses over steps 1–100')
    """
    if last == 1:
        return f"loss after step {steps}"
    if last == steps:
        return f"sum of losses over steps 1–{steps}"
    return f"mean loss over steps {steps - last + 1}–{steps}"
