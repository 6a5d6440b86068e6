"""Claims: criteria become pairs, pairs verdicts, and what is not finite supports nothing."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metadescent.descent.beginnings import as_begun
from metadescent.figures.paper.claims import (
    Claim,
    Pair,
    Value,
    alternatives_of,
    judge_claims,
    outcome_of_pair,
)
from metadescent.figures.paper.criterion import BEGUN, ONE, Criterion
from metadescent.figures.paper.records import Record, record_of

M, STEPS = "m", 100
RNG = np.random.default_rng(0)


def criterion(**options: Any) -> Criterion:
    usual = {"id": "it", "says": '"said"', "section": "3", "panels": ("p",), "quantity": "tenth"}
    return Criterion(**usual | options)


@pytest.fixture
def verdict(panel: Callable) -> Callable[..., Claim]:
    """Judge one criterion on one panel of levels."""

    def of(levels: dict[str, float], width: float = 0.01, **options: Any) -> Claim:
        records = {"p": record_of(panel(levels, width=width), ["least", "second half"])}
        (claim,) = judge_claims([criterion(**options)], records)
        return claim

    return of


@pytest.mark.parametrize(
    ("mine", "margin", "holds"),
    [
        (0.2, 1.0, True),
        (0.29, 1.0, True),
        # The noise of one in a hundred leaves it open.
        (0.3, 1.0, False),
        (0.31, 1.0, False),
        (0.25, 0.8, False),
        (0.235, 0.8, True),
        # "No worse" is said where that is certain, and not where it is not excluded.
        (0.3, 1.05, True),
        (0.314, 1.05, False),
        (0.33, 1.05, False),
    ],
)
def test_a_lead_is_certain_on_the_same_problems(
    mine: float, margin: float, holds: bool, verdict: Callable
) -> None:
    claim = verdict({M: mine, "adam": 0.3, "sgd": 0.5}, margin=margin)
    assert claim.holds is holds
    assert (claim.measured, claim.reference, claim.against) == (
        pytest.approx(mine),
        pytest.approx(0.3),
        "adam",
    )
    assert claim.low < mine / 0.3 < claim.high
    assert claim.ratio == pytest.approx(mine / 0.3)
    assert (claim.high < margin) == holds


def test_wide_intervals_over_problems_hide_no_lead_and_own_noise_does(verdict: Callable) -> None:
    levels = {M: 0.28, "adam": 0.3}
    assert verdict(levels, width=0.01).holds
    assert not verdict(levels, width=0.2).holds


def test_every_baseline_counts_and_the_hardest_is_named(verdict: Callable) -> None:
    claim = verdict({M: 0.2, "adam": 0.3, "sgd": 0.19, "nag": 0.4})
    assert (claim.holds, claim.against) == (False, "sgd")


@pytest.mark.parametrize(("mine", "holds"), [(0.2, False), (0.3, False), (0.36, True)])
def test_behind_is_behind_one_for_certain(mine: float, holds: bool, verdict: Callable) -> None:
    options = {"kind": "above one"}
    levels = {M: mine, "adam": 0.3, "sgd": 0.9}
    claim = verdict(levels, **options)
    assert claim.holds is holds
    assert len(claim.alternatives) == 2
    # Of several the best is chosen by the same runs, so each has a wider interval.
    alone = verdict({M: mine, "adam": 0.3}, **options)
    assert alone.low > claim.low
    assert not (verdict(levels).holds and holds)


@pytest.mark.parametrize(("worst", "holds"), [(0.33, True), (0.36, True), (0.38, False)])
def test_the_equivalent_are_so_both_ways(worst: float, holds: bool, verdict: Callable) -> None:
    three = ("adam", "nag", "rmsprop")
    for name in three:
        levels = dict.fromkeys(three, 0.3) | {name: worst, "sgd": 9.0, M: 0.1}
        claim = verdict(levels, kind="equivalent", others=three, margin=1.25)
        assert claim.holds is holds
        assert claim.against.startswith(f"{name} beside ")
    # Uncertain is not equivalent.
    claim = verdict(
        dict.fromkeys(three, 0.3), width=0.6, kind="equivalent", others=three, margin=1.25
    )
    assert not claim.holds


def test_one_that_is_ahead_of_what_it_was_has_learned(verdict: Callable) -> None:
    begun = as_begun(M)
    for mine, holds in ((0.2, True), (0.5, False), (0.7, False)):
        claim = verdict({M: mine, begun: 0.5, "adam": 0.1}, others=BEGUN)
        assert (claim.holds, claim.against) == (holds, "as it begins")
    # As it begins it is not a baseline.
    assert verdict({M: 0.2, begun: 0.1, "adam": 0.3}).holds


def test_one_of_several_is_enough_with_intervals_for_all_of_them(verdict: Callable) -> None:
    levels = {"lstm": 0.4, "a": 0.5, "b": 0.1, "adam": 0.3}
    options = {"mine": ("a", "b"), "others": ("lstm",), "margin": 0.5}
    claim = verdict(levels, **options)
    assert claim.holds
    assert claim.measured == pytest.approx(0.1)
    alone = verdict(levels, **options | {"mine": ("b",)})
    assert claim.high > alone.high
    assert not verdict(levels | {"b": 0.3}, **options).holds


def test_single_steps_all_have_to_be_ahead(panel: Callable) -> None:
    levels = {M: 0.2, "adam": 0.3}

    def at(step: int, loss: float) -> Claim:
        made = panel(levels)
        made.losses[M][:, step] *= loss / 0.2
        (claim,) = judge_claims(
            [criterion(quantity="second half")], {"p": record_of(made, ["second half"])}
        )
        return claim

    assert at(70, 0.2).holds
    assert not at(70, 0.31).holds
    assert at(70, 0.31).ratio == pytest.approx(0.31 / 0.3)
    assert at(49, 0.9).holds
    assert not at(50, 0.9).holds


def test_a_run_settles_where_it_ends_near_its_own_least(panel: Callable) -> None:
    def settles(least: float) -> bool | None:
        made = panel({M: 0.2, "adam": 0.3})
        # At other steps of every run, so that the mean hides it.
        for run, losses in enumerate(made.losses[M]):
            losses[5 * run] *= least
        records = {"p": record_of(made, ["least"])}
        (claim,) = judge_claims([criterion(quantity="last", kind="settles", margin=1.1)], records)
        return claim.holds

    assert settles(0.95)
    assert not settles(0.9)


def test_a_larger_lead_is_one_over_the_best_baseline_of_each_panel(panel: Callable) -> None:
    def judged(small: float, large: float) -> Claim:
        records = {
            name: record_of(panel({M: mine, "adam": 0.3, "sgd": 0.5}))
            for name, mine in (("small", small), ("large", large))
        }
        (claim,) = judge_claims([criterion(panels=("small", "large"), kind="larger lead")], records)
        return claim

    claim = judged(0.15, 0.24)
    assert claim.holds
    assert (claim.measured, claim.reference) == pytest.approx((0.5, 0.8), rel=0.05)
    assert not judged(0.24, 0.24).holds
    assert not judged(0.24, 0.15).holds


def test_shares_are_beside_a_constant() -> None:
    shares = np.array([0.6, 0.7, 0.8, 0.65])
    records = {"p": Record(4, (M,), (), {"share": {M: shares}})}

    def claim(margin: float, kind: str, values: np.ndarray = shares) -> Claim:
        of = {"p": Record(4, (M,), (), {"share": {M: values}})}
        (judged,) = judge_claims(
            [criterion(quantity="share", kind=kind, margin=margin, others=ONE)], of
        )
        return judged

    assert claim(0.5, "above each").holds
    assert not claim(0.6, "above each").holds
    assert (claim(0.5, "above each").measured, claim(0.5, "above each").reference) == (
        pytest.approx(shares.mean()),
        0.5,
    )
    assert claim(0.9, "below each").holds
    assert claim(0.81, "all below").holds
    assert not claim(0.8, "all below").holds
    assert claim(0.8, "all below").ratio == 0.8
    assert claim(0.6, "all at least").holds
    assert not claim(0.61, "all at least").holds
    assert not claim(0.5, "above each", np.array([0.6, np.nan, 0.7])).holds
    assert not claim(9.0, "all below", np.array([0.6, np.nan, 0.7])).holds
    assert records


def test_what_a_claim_is_given_has_to_hold_too(panel: Callable) -> None:
    records = {"p": record_of(panel({M: 0.2, "adam": 0.3}))}

    def holds(first: float, second: float, third: float) -> list[bool | None]:
        criteria = [
            criterion(id="a", margin=first),
            criterion(id="b", margin=second, given=("a",)),
            criterion(id="c", margin=third, given=("b",)),
        ]
        return [claim.holds for claim in judge_claims(criteria, records)]

    assert holds(0.9, 0.9, 0.9) == [True, True, True]
    assert holds(0.1, 0.9, 0.9) == [False, False, False]
    assert holds(0.9, 0.1, 0.9) == [True, False, False]


KINDS: list[dict[str, Any]] = [
    {},
    {"margin": 1.05},
    {"quantity": "second half"},
    {"quantity": "sum"},
    {"kind": "above one"},
    {"kind": "equivalent", "others": ("adam", "nag")},
    {"kind": "settles", "quantity": "last", "margin": 1.1},
    {"others": BEGUN},
    {"mine": (M,), "others": ("nag",)},
]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("first", [0, 95])
def test_who_diverges_supports_nothing(
    options: dict[str, Any], value: float, first: int, panel: Callable
) -> None:
    """However good all its other runs are, and however bad: an error of ours would look alike."""
    for level in (0.1, 0.9):
        made = panel({M: level, as_begun(M): 1.0, "adam": 0.3, "nag": 0.3})
        blown = "adam" if options.get("kind") == "equivalent" else M
        made.losses[blown][3, first:] = value
        records = {"p": record_of(made, ["least", "second half"])}
        (claim,) = judge_claims([criterion(**options)], records)
        assert claim.holds is False


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_baseline_that_diverges_is_left_out_and_the_others_are_not(
    value: float, panel: Callable
) -> None:
    def holds(mine: float, **baselines: float) -> bool | None:
        made = panel({M: mine, **baselines})
        made.losses["sgd"][:3, 50:] = value
        (claim,) = judge_claims([criterion()], {"p": record_of(made)})
        return claim.holds

    assert holds(0.2, sgd=0.1, adam=0.3)
    assert not holds(0.3, sgd=0.1, adam=0.2)
    # With nobody to compare with, nothing holds.
    assert not holds(0.2, sgd=0.1)


def test_few_problems_on_which_a_baseline_blew_up_are_left_out_of_its_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = np.linspace(1.0, 2.0, 40)
    gone = runs.copy()
    gone[7] = 1e9
    values = {"tenth": {M: 0.9 * runs, "sgd": gone}, "last": {M: runs, "sgd": runs}}
    record = Record(10, (M,), ("sgd",), values, {"sgd": [7]})
    (claim,) = judge_claims([criterion()], {"p": record})
    assert claim.holds
    assert claim.ratio == pytest.approx(0.9)
    assert record.rivals == ("sgd",)
    assert record._replace(blown_up={"sgd": [7, 8, 9]}).rivals == ()


def test_a_ratio_of_one_panel_to_another_takes_as_many_problems() -> None:
    few, many = (Record(1, (M,), (), {"x": {M: np.ones(n)}}) for n in (3, 4))
    pair = Pair(Value("few", "x", M), Value("many", "x", M), 2.0)
    assert not outcome_of_pair(pair, {"few": few, "many": many}).holds
    assert outcome_of_pair(pair, {"few": few, "many": few}).holds


def test_of_one_problem_nothing_is_certain() -> None:
    one = Record(1, (M,), ("sgd",), {"tenth": {M: np.ones(1), "sgd": np.full(1, 9.0)}})
    (claim,) = judge_claims([criterion()], {"p": one})
    assert (claim.holds, claim.measured, claim.reference) == (False, 1.0, 9.0)


def test_no_loss_is_a_multiple_of_one_below_zero() -> None:
    losses = -100 - RNG.random(8)
    for margin, holds in ((1.0, True), (0.95, False), (1.05, False)):
        values = {"tenth": {M: losses, "sgd": losses + 5}}
        (claim,) = judge_claims(
            [criterion(margin=margin)], {"p": Record(1, (M,), ("sgd",), values)}
        )
        assert claim.holds is holds
        assert math.isnan(claim.ratio)


def test_a_claim_is_written_with_all_that_it_takes_to_judge_again(verdict: Callable) -> None:
    claim = verdict({M: 0.2, "adam": 0.3, "sgd": math.inf}, margin=0.8)
    written = json.loads(json.dumps(claim.to_json(), allow_nan=False))
    assert (written["id"], written["section"], written["holds"]) == ("it", "3", True)
    assert written["alternatives"] == [
        [
            {
                "mine": {"panel": "p", "quantity": "tenth", "name": M, "over": ""},
                "other": {"panel": "p", "quantity": "tenth", "name": "adam", "over": ""},
                "margin": 0.8,
                "less": True,
                "by": "mean",
            }
        ]
    ]
    assert written["ratio"] == pytest.approx(2 / 3)
    nothing = verdict({M: math.nan, "adam": 0.3})
    assert json.loads(json.dumps(nothing.to_json(), allow_nan=False))["measured"] is None


def test_the_leader_is_each_panel_s_own(panel: Callable) -> None:
    records = {
        "p": record_of(panel({"a": 0.2, "other": 0.9, "adam": 0.3})),
        "q": record_of(panel({"b": 0.2, "sgd": 0.3})),
    }
    (pairs,) = alternatives_of(criterion(panels=("p", "q")), records)
    assert [(pair.mine.panel, pair.mine.name, pair.other.name) for pair in pairs] == [
        ("p", "a", "adam"),
        ("q", "b", "sgd"),
    ]
