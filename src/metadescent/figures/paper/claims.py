"""Claims: criteria are turned into pairs of runs, and pairs into verdicts.

A pair says that the values of one optimizer are below (or above) a margin times those of another,
on the same problems. A claim has alternatives, nearly always one. Each is a list of pairs, which
all have to hold. Only records are used, so that a figure's JSON is enough to judge again. If the
optimizer that is judged blew up on a problem, or a number is not finite, nothing holds. Problems on
which the other optimizer blew up are left out.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from metadescent.descent.beginnings import as_begun
from metadescent.descent.pairs import LEVEL, difference, ratio_of_means
from metadescent.figures.paper import wording
from metadescent.figures.paper.criterion import BASELINES, BEGUN, LEADER, ONE, Criterion
from metadescent.figures.paper.records import Record, mean_run

Records = Mapping[str, Record]


class Value(NamedTuple):
    """An optimizer's values in a panel, run by run; divided by those of `over`, if there is one."""

    panel: str
    quantity: str
    name: str
    over: str = ""


class Pair(NamedTuple):
    """Says that `mine` is less (or more) than `margin` times `other`, which is 1 if None.

    `by` is "mean" if the means over problems are compared, or "run" if every single run is.
    """

    mine: Value
    other: Value | None
    margin: float
    less: bool = True
    by: str = "mean"


class Outcome(NamedTuple):
    """Whether a pair holds, and what decides: two means, and their ratio with its interval."""

    holds: bool
    measured: float
    reference: float
    ratio: float
    low: float
    high: float

    def slack(self, pair: Pair) -> float:
        """Return how close the ratio comes to the margin; from 1 on, it is beyond the margin."""
        near, far = (self.ratio, self.ratio) if pair.by == "run" else (self.high, self.low)
        if pair.less:
            return math.inf if math.isnan(near) else near / pair.margin
        return pair.margin / far if far > 0 else math.inf


class Claim(NamedTuple):
    """A claim about a figure, and the numbers that decide whether it holds.

    With several pairs, the numbers are those of the pair that comes closest to failing.
    """

    id: str
    text: str  # quotes the paper; says what is compared and when the claim holds
    section: str  # of the paper
    measured: float
    reference: float
    against: str  # what the reference is
    ratio: float
    low: float
    high: float
    margin: float
    holds: bool | None  # None: too little was computed to judge
    given: tuple[str, ...] = ()
    alternatives: Sequence[Sequence[Pair]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the claim for JSON, with everything that is needed to judge it again."""
        numbers = ("measured", "reference", "ratio", "low", "high")
        return self._asdict() | {
            **{name: _finite(getattr(self, name)) for name in numbers},
            "given": list(self.given),
            "alternatives": [
                [_pair_to_json(pair) for pair in pairs] for pairs in self.alternatives
            ],
        }


NOTHING = Outcome(False, math.nan, math.nan, math.nan, math.nan, math.nan)


def judge_claims(criteria: Iterable[Criterion], records: Records) -> list[Claim]:
    """Return a claim for each criterion, judged by records alone."""
    claims = {criterion.id: _judged(criterion, records) for criterion in criteria}

    def holds(claim: Claim) -> bool:
        return bool(claim.holds) and all(holds(claims[id]) for id in claim.given)

    return [claim._replace(holds=holds(claim)) for claim in claims.values()]


def quantities_of(criterion: Criterion) -> tuple[str, ...]:
    """Return the quantities that a criterion is judged by."""
    return (criterion.quantity, "least") if criterion.kind == "settles" else (criterion.quantity,)


def outcome_of_pair(pair: Pair, records: Records, level: float = LEVEL) -> Outcome:
    """Return whether a pair holds; with many columns, the numbers are those of the deciding one."""
    runs = _runs(pair, records)
    if runs is None:
        return NOTHING
    mine, other = (values.reshape(len(values), -1) for values in runs)
    if pair.by == "run":
        return _by_run(mine, other, pair)
    low, high = difference(mine, other, pair.margin, level)
    certain = high < 0 if pair.less else low > 0
    # A multiple of a loss below zero has no meaning.
    above = pair.margin == 1.0 or bool((np.minimum(mine.mean(0), other.mean(0)) >= 0).all())
    numbers = np.stack([mine.mean(0), other.mean(0), *ratio_of_means(mine, other, level)], 1)
    columns = [Outcome(above and bool(np.all(certain)), *map(float, row)) for row in numbers]
    return max(columns, key=lambda outcome: outcome.slack(pair))


def alternatives_of(criterion: Criterion, records: Records) -> list[list[Pair]]:
    """Return a criterion's pairs, in alternatives; all pairs of one of them have to hold."""
    mine, others, margin = criterion.mine, criterion.others, criterion.margin
    match criterion.kind:
        case "equivalent":
            of = [[_value(criterion, panel, n) for n in others] for panel in criterion.panels]
            pairs = itertools.chain(*(itertools.permutations(values, 2) for values in of))
            return [[Pair(a, b, margin) for a, b in pairs]]
        case "larger lead":
            small, large = (_lead(criterion, panel, records[panel]) for panel in criterion.panels)
            return [[Pair(small, large, margin)]] if small and large else []
        case "settles":
            values = [
                _value(criterion, panel, records[panel].learned[0]) for panel in criterion.panels
            ]
            return [[Pair(value, value._replace(quantity="least"), margin) for value in values]]
        case "above one":
            return [[pair] for pair in _pairs(criterion, mine[0], records)]
        case _:
            return [[*_pairs(criterion, name, records)] for name in mine]


def _pairs(criterion: Criterion, name: str, records: Records) -> Iterator[Pair]:
    """Yield the pairs of one optimizer with each of the others, panel by panel."""
    less, by = criterion.kind in ("below each", "all below"), "mean"
    if criterion.kind in ("all below", "all at least"):
        by = "run"
    for panel in criterion.panels:
        record = records[panel]
        who = record.learned[0] if (name,) == LEADER else name
        for other in _others(criterion, who, record):
            beside = None if criterion.others == ONE else _value(criterion, panel, other)
            yield Pair(_value(criterion, panel, who), beside, criterion.margin, less, by)


def _others(criterion: Criterion, who: str, record: Record) -> Iterator[str]:
    """Yield the optimizers that an optimizer is compared with in a panel."""
    for other in criterion.others:
        if (other,) == BASELINES:
            yield from record.rivals
        elif (other,) == BEGUN:
            yield as_begun(who)
        elif (other,) == ONE or other in record.values[criterion.quantity]:
            # Not every panel has every baseline, and a baseline that diverged is not a rival.
            yield from () if record.diverged(other) else (other,)


def _value(criterion: Criterion, panel: str, name: str) -> Value:
    return Value(panel, criterion.quantity, name)


def _lead(criterion: Criterion, panel: str, record: Record) -> Value | None:
    """Return the leader's runs divided by those of the baseline with the lowest mean."""
    means = {name: mean_run(record, criterion.quantity, name)[0] for name in record.rivals}
    finite = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    if not finite:
        return None
    return Value(panel, criterion.quantity, record.learned[0], min(finite, key=finite.__getitem__))


def _judged(criterion: Criterion, records: Records) -> Claim:
    """Return a claim judged by itself, without the claims that it is given."""
    alternatives = alternatives_of(criterion, records)
    level = 1 - (1 - LEVEL) / max(len(alternatives), 1)
    holds, decided = False, []
    for pairs in alternatives:
        outcomes = [(outcome_of_pair(pair, records, level), pair) for pair in pairs]
        # Without anything to compare with, a claim does not hold.
        holds |= bool(outcomes) and all(outcome.holds for outcome, _ in outcomes)
        decided += [max(outcomes, key=lambda both: both[0].slack(both[1]))] if outcomes else []
    nothing = NOTHING, None
    outcome, pair = min(decided, key=lambda both: both[0].slack(both[1]), default=nothing)
    steps = records[criterion.panels[0]].steps
    return Claim(
        criterion.id,
        wording.text_of(criterion, steps),
        criterion.section,
        outcome.measured,
        criterion.margin if pair and pair.other is None else outcome.reference,
        wording.against(criterion, pair.mine.panel, pair.mine.name, pair.other) if pair else "",
        outcome.ratio,
        outcome.low,
        outcome.high,
        criterion.margin,
        holds,
        criterion.given,
        alternatives,
    )


def _by_run(mine: np.ndarray, other: np.ndarray, pair: Pair) -> Outcome:
    """Judge every run by itself; the numbers are those of the run with the most extreme ratio."""
    with np.errstate(invalid="ignore"):
        holds = mine < pair.margin * other if pair.less else mine >= pair.margin * other
    ratios = (mine / other).ravel()
    k = int(np.argmax(ratios if pair.less else -ratios))
    numbers = mine.ravel()[k], other.ravel()[k], ratios[k], math.nan, math.nan
    return Outcome(bool(holds.all()), *map(float, numbers))


def _runs(pair: Pair, records: Records) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both optimizers' values on the problems that count; None if there are none."""
    if records[pair.mine.panel].blown_up.get(pair.mine.name):
        return None
    mine = _of(pair.mine, records)
    other = np.ones_like(mine) if pair.other is None else _of(pair.other, records)
    if len(mine) != len(other):
        return None
    gone = {
        place
        for value in (pair.mine._replace(name=""), pair.other)
        if value is not None
        for name in (value.name, value.over)
        for place in records[value.panel].blown_up.get(name, ())
    }
    counted = [place for place in range(len(mine)) if place not in gone]
    return (mine[counted], other[counted]) if counted else None


def _of(value: Value, records: Records) -> np.ndarray:
    runs = records[value.panel].values[value.quantity]
    with np.errstate(divide="ignore", invalid="ignore"):
        return runs[value.name] / runs[value.over] if value.over else runs[value.name]


def _pair_to_json(pair: Pair) -> dict[str, Any]:
    other = None if pair.other is None else pair.other._asdict()
    return pair._asdict() | {"mine": pair.mine._asdict(), "other": other}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
