"""Claims: what is ahead, what is behind, and that what is not finite supports nothing."""

import math

import numpy as np
import pytest

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve
from metadescent.figures.paper import experiments
from metadescent.figures.paper.claims import (
    Claim,
    Score,
    ahead,
    describe,
    falls_behind,
    lower_from,
    no_worse,
    outperforms,
    outperforms_in_pairs,
    outperforms_throughout,
    rivals,
    score,
    tenth,
    within,
)


def comparison(lstm: float, width: float = 0.01, **baselines: float) -> Comparison:
    def curve(level: float, rate: float | None) -> Curve:
        mean = np.full(100, level)
        return Curve(mean, mean - width, mean + width, rate)

    curves = {name: curve(level, 0.1) for name, level in baselines.items()}
    return Comparison("problem", 100, 8, {"lstm": curve(lstm, None), **curves}, {}, 0.5)


def test_a_score_is_the_mean_of_the_last_steps_or_the_sum_of_all() -> None:
    mean = np.array([4.0, 2.0, 1.0])
    curve = Curve(mean, mean - 1, mean + 1)
    assert score(curve, 2) == (1.5, 0.5, 2.5)
    assert score(curve, 3) == (7.0, 4.0, 10.0)
    assert describe(100, 1) == "loss after step 100"
    assert describe(100, 10) == "mean loss over steps 91–100"
    assert describe(100, 100) == "sum of losses over steps 1–100"
    assert (tenth(100), tenth(4)) == (10, 1)


def test_a_lead_is_a_margin_and_intervals_that_are_apart() -> None:
    assert ahead(Score(0.25, 0.24, 0.26), Score(0.33, 0.32, 0.34), margin=0.8)
    assert not ahead(Score(0.27, 0.26, 0.28), Score(0.33, 0.32, 0.34), margin=0.8)
    assert not ahead(Score(0.32, 0.30, 0.34), Score(0.33, 0.32, 0.34))


def test_the_rival_is_the_best_baseline_that_is_finite() -> None:
    for broken in (math.nan, math.inf):
        learned, best = rivals(comparison(0.2, sgd=0.5, nag=broken, adam=0.3), 10)
        assert (learned.value, best.value) == pytest.approx((0.2, 0.3))


def test_nobody_is_ahead_of_himself() -> None:
    assert not ahead(Score(0.3, 0.3, 0.3), Score(0.3, 0.3, 0.3))
    assert ahead(Score(0.2, 0.2, 0.2), Score(0.3, 0.3, 0.3))


@pytest.mark.parametrize("lstm", [0.2, 0.295, 0.3, 0.305, 0.4])
def test_of_ahead_and_behind_at_most_one_holds(lstm: float) -> None:
    found = comparison(lstm, adam=0.3)
    judged = [outperforms("", "", found, 10).holds, falls_behind("", "", found, 10).holds]
    assert judged == [lstm < 0.28, lstm > 0.32]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_not_finite_supports_nothing(broken: float) -> None:
    for found in (comparison(broken, adam=0.3), comparison(0.2, adam=broken)):
        assert not outperforms("", "", found, 10).holds
        assert not falls_behind("", "", found, 10).holds
        points = {"a": comparison(0.2, adam=0.3), "b": found}
        assert not outperforms_throughout("", "", points, "both", 10).holds


def paired(lstm: float, width: float = 0.01, most: float = 0.95, **baselines: float) -> Claim:
    found = comparison(lstm, 1.0, **baselines)
    margins = {}
    for name, level in baselines.items():
        mean = np.full(100, level - lstm)
        margins[name] = Curve(mean, mean - width, mean + width)
    return outperforms_in_pairs('"said"', "3.4", found._replace(margins=margins), most)


def test_in_pairs_it_is_ahead_of_each_on_the_same_problems() -> None:
    """However wide the intervals over problems are."""
    claim = paired(0.2, adam=0.3, sgd=0.25)
    assert (claim.measured, claim.reference, claim.holds) == (pytest.approx(0.2), 0.25, True)
    assert claim.text == (
        "\"said\": loss after step 100, the LSTM's against the best baseline's; holds if it is at "
        "most 0.95 times as much and the 95 % intervals of the difference to each baseline that "
        "did not diverge, on the same problems, are above zero"
    )
    assert not paired(0.24, adam=0.3, sgd=0.25, width=0.0).holds
    assert not paired(0.2, adam=0.3, sgd=0.25, width=0.06).holds
    assert paired(0.24, adam=0.3, sgd=0.25, width=0.0, most=1.0).holds


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_in_pairs_what_is_not_finite_supports_nothing(broken: float) -> None:
    assert not paired(broken, adam=0.3).holds
    assert not paired(0.2, adam=broken).holds
    assert not paired(0.2, width=math.nan, adam=0.3).holds
    # One that diverged is no rival, and the others are.
    assert paired(0.2, adam=0.3, sgd=broken).holds
    assert not paired(0.3, adam=0.3, sgd=broken).holds


def test_without_intervals_nothing_holds() -> None:
    for lstm in (0.2, 0.4):
        found = comparison(lstm, width=math.nan, adam=0.3)
        assert not outperforms("", "", found, 10).holds
        assert not falls_behind("", "", found, 10).holds


def test_throughout_is_as_good_as_the_worst_point() -> None:
    good, better = comparison(0.2, adam=0.4), comparison(0.1, adam=0.4)
    claim = outperforms_throughout('"said"', "3.2", {"a": good, "b": better}, "both", 10)
    assert (claim.measured, claim.reference, claim.holds) == (pytest.approx(0.5), 1.0, True)
    assert claim.text == (
        '"said": the largest ratio, over both, of the LSTM\'s mean loss over steps 91–100 to that '
        "of the best baseline there, against one; holds if it is less and the 95 % intervals are "
        "apart throughout"
    )
    close = comparison(0.39, adam=0.4)
    claim = outperforms_throughout("", "", {"a": good, "b": better, "c": close}, "all", 10)
    assert claim.measured == pytest.approx(0.975)
    assert not claim.holds


@pytest.mark.parametrize(
    ("lstm", "holds"), [(0.2, True), (0.3, True), (0.319, True), (0.321, False), (0.4, False)]
)
def test_no_worse_is_not_to_be_clearly_behind(lstm: float, holds: bool) -> None:
    found = comparison(lstm, sgd=0.5, adam=0.3)
    claim = no_worse("ours", "4", found, 10)
    assert claim.holds is holds
    assert claim.holds != falls_behind("", "", found, 10).holds
    assert (claim.measured, claim.reference) == pytest.approx((lstm, 0.3))
    assert (claim.text, claim.section) == (
        "ours: mean loss over steps 91–100, the LSTM's against the best baseline's; holds if it is "
        "less or the 95 % intervals touch",
        "4",
    )


@pytest.mark.parametrize(
    ("lstm", "holds"), [(0.2, True), (0.3, True), (0.329, True), (0.331, False), (0.9, False)]
)
@pytest.mark.parametrize("width", [0.0, 0.01, 0.3])
def test_within_goes_by_the_values_alone(lstm: float, holds: bool, width: float) -> None:
    claim = within("ours", "4", comparison(lstm, width, sgd=0.5, adam=0.3), 10, margin=1.1)
    assert claim.holds is holds
    assert (claim.measured, claim.reference) == pytest.approx((lstm, 0.3))
    assert (claim.text, claim.section) == (
        "ours: mean loss over steps 91–100, the LSTM's against the best baseline's; holds if it is "
        "at most 1.1 times as much",
        "4",
    )


def test_means_that_leave_out_where_the_learned_one_blew_up_support_no_claim() -> None:
    found = comparison(0.2, adam=0.3)

    def claims(name: str) -> list[Claim]:
        curves = {n: c._replace(diverged=int(n == name)) for n, c in found.curves.items()}
        counted = found._replace(curves=curves)
        return [
            outperforms("", "", counted, 10),
            no_worse("", "", counted, 10),
            within("", "", counted, 10, margin=1.1),
            lower_from("", "", counted, 50),
        ]

    assert not any(claim.holds for claim in claims("lstm"))
    # Those of a baseline are fair to it.
    assert all(claim.holds for claim in claims("adam"))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_who_diverges_is_worse_and_not_within(broken: float) -> None:
    found = comparison(broken, adam=0.3)
    assert not no_worse("", "", found, 10).holds
    assert not within("", "", found, 10, margin=1.1).holds
    # One baseline that diverges is no rival, and the others are.
    assert no_worse("", "", comparison(0.3, sgd=broken, adam=0.3), 10).holds
    assert not within("", "", comparison(0.4, sgd=broken, adam=0.3), 10, margin=1.1).holds


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_where_all_baselines_diverge_nobody_is_no_worse(broken: float) -> None:
    assert not no_worse("", "", comparison(0.2, adam=broken), 10).holds
    assert not no_worse("", "", comparison(0.2, width=math.nan, adam=0.3), 10).holds


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_where_all_baselines_diverge_nobody_is_within(broken: float) -> None:
    assert not within("", "", comparison(0.2, adam=broken), 10, margin=1.1).holds


def test_what_experiments_share_is_no_experiment() -> None:
    appendix_b = {f"figure{number}" for number in range(10, 14)}
    known = {"figure4", "figure5", "figure6", "figure7", "transfer", "appendix-d"}
    art = {"figure8", "figure8-vgg19", "figure8-transfer", "figure9", "figure9-vgg19"}
    assert set(experiments()) == known | art | appendix_b


def test_no_loss_is_a_multiple_of_one_below_zero() -> None:
    worse, better = Score(-94.8, -94.9, -94.7), Score(-100.0, -100.1, -99.9)
    assert ahead(better, worse)
    assert not ahead(worse, better)
    # -94.8 is more than -100, though not more than 0.95 times as much.
    assert not ahead(worse, better, 0.95)
    assert not ahead(better, worse, 0.95)
    claim = within("text", "3", comparison(-94.8, sgd=-100.0), 1, 1.05)
    assert not claim.holds
    (claim,) = [lower_from("text", "3", comparison(-94.8, sgd=-100.0), 1)]
    assert (claim.holds, math.isnan(claim.measured)) == (False, True)
    assert lower_from("text", "3", comparison(-100.0, sgd=-94.8), 1).holds
