"""Verdicts on numbers that are given: each is said where its numbers say so, and only there."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import summarize
from metadescent.descent.tuning import Tuned
from metadescent.runs import doctor
from metadescent.runs.checkup import Checkup, Examination, measurements
from metadescent.runs.doctor import diagnose
from metadescent.runs.finding import Finding
from metadescent.runs.recipe import Recipe

RECIPE = Recipe(steps=20, unroll=5, epochs=8, meta_rate=0.01)
RNG = np.random.default_rng(0)
NOISE = 1 + 0.05 * RNG.normal(size=(16, 40))


def line(epoch: int = 1, **replaced: Any) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "gradient_norm": 1.0,
        "gradient_norms": [1.0, 2.0, 3.0, 4.0],
        "clipped": 0.0,
        "phi_step": 0.003,
        "validation_loss": 0.2,
        "best_loss": 0.2,
        "training_end": 0.21,
        "validation_end": 0.22,
        "start": 1.0,
        "update_ratio": 0.1,
        "saturated_inputs": 0.0,
        "hidden": 0.4,
        "saturated_hidden": 0.01,
    } | replaced


def curve(*levels: float) -> np.ndarray:
    """Curves of 16 problems that go in steps of 10 from level to level."""
    return np.repeat(levels, 10)[None] * NOISE[:, : 10 * len(levels)]


def beside(mine: np.ndarray, **others: np.ndarray) -> Comparison:
    """A comparison of 20 steps, of these curves."""
    losses = {"learned": mine[:, :20], **others}
    curves = {
        name: summarize(of, None if name == "learned" else 0.3) for name, of in losses.items()
    }
    tuned = dict.fromkeys(others, Tuned(0.3, [], [], "by hand"))
    return Comparison("p", 20, 16, curves, tuned, 0.0, losses=losses)


MINE = curve(0.5, 0.1, 0.09, 0.08)
HEALTHY = Examination(
    finite=1.0,
    functions=8,
    rest=curve(1.0, 1.0),
    threshold=0.0,
    responses=(0.9, 0.8),
    gradient=2.0,
    mine=MINE,
)
SGD = curve(0.8, 0.4)


def findings(
    recipe: Recipe = RECIPE,
    metrics: list[dict[str, Any]] | None = None,
    stopped: dict[str, Any] | None = None,
    others: dict[str, np.ndarray] | None = None,
    **replaced: Any,
) -> list[Finding]:
    exam = HEALTHY._replace(**replaced)
    if exam.mine is not None:
        others = {"sgd": SGD} if others is None else others
        exam = exam._replace(comparison=beside(exam.mine, **others))
    return diagnose(Checkup(recipe, [line()] if metrics is None else metrics, stopped, 0.3, exam))


def verdicts(**options: Any) -> list[str]:
    return [finding.verdict for finding in findings(**options)]


def test_ahead_of_every_baseline_and_of_nothing_is_learned() -> None:
    (found,) = findings(others={"sgd": SGD, "nag": curve(0.6, 0.2)})
    assert found.verdict == doctor.LEARNED
    assert found.remedy == ""
    # NAG is the best; it is at its final loss at step 11 or later, and so is the learned one.
    for word in ("final loss of nag", "× as fast and ends at 0.5", "doing nothing"):
        assert word in found.numbers


@pytest.mark.parametrize(("level", "word"), [(0.1, "level with nag"), (0.05, "behind nag")])
def test_learned_is_not_said_where_any_baseline_is_level(level: float, word: str) -> None:
    (found,) = findings(others={"sgd": SGD, "nag": curve(0.5, level)})
    assert found.verdict == doctor.NOT_YET
    assert found.numbers.startswith(f"{word};")


def test_a_line_search_that_is_ahead_is_named_with_learned() -> None:
    (found,) = findings(others={"sgd": SGD, "lbfgs": curve(0.5, 1e-9)})
    assert found.verdict == "learned, but behind lbfgs"


@pytest.mark.parametrize(
    "replaced",
    [
        {"others": {"sgd": curve(0.3, 0.05)}},
        {"others": {"sgd": curve(0.5, 0.1)}},
        {"mine": curve(1.0, 1.0, 1.0, 1.0), "others": {}},
        {"mine": curve(1.5, 1.2, 1.2, 1.2)},
    ],
)
def test_what_is_not_ahead_of_both_has_not_learned_yet(replaced: dict[str, Any]) -> None:
    assert verdicts(**replaced) == [doctor.NOT_YET]


def test_without_a_rate_for_any_doing_nothing_decides() -> None:
    assert verdicts(others={}) == [doctor.LEARNED]


def test_not_yet_says_whether_it_was_still_falling() -> None:
    slow: dict[str, Any] = {"others": {"sgd": curve(0.3, 0.05)}}
    falling = [line(e, best_loss=1 / e) for e in range(1, 9)]
    assert "try --epochs 16" in findings(metrics=falling, **slow)[-1].remedy
    resting = [line(e) for e in range(1, 9)]
    assert "try --meta-rate 0.003 or 0.03" in findings(metrics=resting, **slow)[-1].remedy
    # A few epochs are not too few to tell.
    for few, remedy in (falling[:2], "--epochs 16"), (resting[:2], "--meta-rate"):
        assert f"try {remedy}" in findings(metrics=few, **slow)[-1].remedy
    assert "try --epochs 16" in findings(metrics=[line(1, best_loss=0.3)], **slow)[-1].remedy
    # More of what is worse than doing nothing would be more of it.
    worse = [line(e, best_loss=9 / e) for e in range(1, 9)]
    assert "--epochs" not in findings(metrics=worse, **slow)[-1].remedy


def test_a_loss_that_is_not_finite_at_rest_is_the_datas_fault_and_all_there_is_to_say() -> None:
    (found,) = findings(
        finite=0.75, mine=None, responses=None, stopped={"epoch": 1, "meta_step": 3}
    )
    assert found.verdict == doctor.BAD_DATA
    assert "25.00%" in found.numbers


def test_one_function() -> None:
    assert verdicts(functions=1) == [doctor.ONE_FUNCTION, doctor.LEARNED]
    assert verdicts(functions=2) == [doctor.LEARNED]


@pytest.mark.parametrize(
    ("restarted", "said"),
    [
        (0, "5 of 240, in 2 of 3 epochs; their updates of φ were left out"),
        (1, "5 of 240, in 2 of 3 epochs; φ went back to the best so far after 2 of these epochs"),
    ],
)
def test_meta_steps_that_were_not_finite_are_counted(restarted: int, said: str) -> None:
    lines = [line(1), line(2, nonfinite=2, restarted=restarted), line(3, nonfinite=3)]
    lines[-1]["restarted"] = restarted
    found = findings(recipe=replace(RECIPE, episodes=20), metrics=lines)
    assert [one.verdict for one in found] == [doctor.NONFINITE, doctor.LEARNED]
    assert found[0].numbers == said
    assert "--meta-rate 0.003" in found[0].remedy


def test_an_update_that_never_turns_round_is_dead() -> None:
    for responses in [(0.0, 0.0), (0.009, 0.009)]:
        assert verdicts(responses=responses)[0] == doctor.DEAD
    assert verdicts(responses=(0.011, 0.0)) == [doctor.LEARNED]


def test_an_update_that_turns_round_with_larger_gradients_only_is_blind() -> None:
    found = findings(responses=(1e-6, 0.5), gradient=1e-8)[0]
    assert found.verdict == doctor.BLIND
    assert "there is no preprocessing" in found.numbers
    # e^−22 = 2.8e-10: thirty times smaller than these gradients.
    assert "p=22" in found.remedy
    behind = findings(responses=(1e-3, 0.5), gradient=1e-6, threshold=math.exp(-10))[0]
    assert "gradients below 4.5e-05 are disregarded" in behind.numbers


def test_an_unroll_of_one_is_short_sighted() -> None:
    def of(**changes: Any) -> list[str]:
        return verdicts(recipe=Recipe(**{"steps": 20, "unroll": 1} | changes))

    assert of() == [doctor.SHORT_SIGHTED, doctor.LEARNED]
    assert of(unroll=2) == [doctor.LEARNED]
    assert of(steps=1) == [doctor.LEARNED]
    assert of(estimator="pes(std=0.01)") == [doctor.LEARNED]


@pytest.mark.parametrize(
    ("metrics", "stopped", "reason"),
    [
        ([line(phi_step=0.2), line(2)], None, "a meta-step changes φ by 0.67 of the size"),
        (None, {"epoch": 3, "meta_step": 7}, "at meta-step 7 of epoch 3, though f is finite"),
        ([line(validation_loss=5.0)], None, "the last validation loss, 5, is above doing nothing"),
        ([line(validation_loss=math.nan)], None, "the last validation loss, nan, is above"),
    ],
)
def test_signs_of_a_meta_rate_too_high(
    metrics: list | None, stopped: dict | None, reason: str
) -> None:
    found = findings(metrics=metrics, stopped=stopped)[0]
    assert found.verdict == doctor.META_RATE
    assert reason in found.numbers
    assert "try --meta-rate 0.001" in found.remedy


def test_a_lower_rate_and_a_worse_epoch_are_no_signs() -> None:
    assert verdicts(metrics=[line(phi_step=0.029), line(2, validation_loss=0.9)]) == [
        doctor.LEARNED
    ]


@pytest.mark.parametrize("value", [100.0, math.nan, math.inf])
def test_what_blows_up_within_the_horizon_has_diverged(value: float) -> None:
    with np.errstate(invalid="ignore"):
        found = findings(mine=curve(0.5, value, value, value))
    assert found[0].verdict == "diverged at step 11"
    assert "doing nothing has 1" in found[0].numbers
    assert found[-1].verdict == doctor.NOT_YET


@pytest.mark.parametrize("value", [0.7, 2.0, math.nan])
def test_what_gives_back_its_gain_past_the_horizon_is_overfitted_to_it(value: float) -> None:
    with np.errstate(invalid="ignore"):
        found = findings(mine=curve(0.5, 0.1, 0.1, value))
    assert [finding.verdict for finding in found] == [doctor.OVERFITTED, doctor.LEARNED]
    assert "lost from step 31 on" in found[0].numbers
    assert ("diverged at step 31" in found[0].numbers) is math.isnan(value)
    assert "--curriculum 20,40,100" in found[0].remedy


def test_what_keeps_half_of_its_gain_is_not() -> None:
    assert verdicts(mine=curve(0.5, 0.1, 0.1, 0.5)) == [doctor.LEARNED]


def test_who_has_gained_nothing_has_nothing_to_lose() -> None:
    assert verdicts(mine=curve(1.0, 1.0, 1.0, 1.3)) == [doctor.NOT_YET]


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_verdicts_do_not_depend_on_the_unit_of_the_loss(scale: float) -> None:
    for mine in (HEALTHY.mine, curve(0.5, 100, 1, 1), curve(0.5, 0.1, 0.1, 0.7)):
        assert mine is not None
        assert verdicts(
            mine=scale * mine, rest=scale * HEALTHY.rest, others={"sgd": scale * SGD}
        ) == verdicts(mine=mine)


def test_the_log_alone_says_whether_it_is_learning() -> None:
    def of(**replaced: Any) -> list[str]:
        found = diagnose(Checkup(RECIPE, [line(**replaced)], None, 0.3))
        return [finding.verdict for finding in found]

    assert of() == [doctor.LEARNING]
    assert of(best_loss=1.0) == [doctor.NOT_YET]
    assert of(phi_step=0.2) == [doctor.META_RATE, doctor.LEARNING]
    assert diagnose(Checkup(RECIPE, [], None, 0.3)) == []
    # A log of before vitals were logged.
    assert diagnose(Checkup(RECIPE, [{"validation_loss": 0.2, "best_loss": 0.2}], None, 0.3)) == []


def test_an_f_without_a_gradient_is_all_there_is_to_say() -> None:
    assert verdicts(gradient=0.0, responses=(0.0, 0.0)) == [doctor.FLAT]
    of_the_log = Checkup(RECIPE, [line(gradient=0.0)], None, 0.3)
    assert [finding.verdict for finding in diagnose(of_the_log)] == [doctor.FLAT]


def test_a_fresh_phi_of_0_has_no_size_to_compare_with() -> None:
    exam = HEALTHY._replace(comparison=beside(MINE, sgd=SGD))
    checkup = Checkup(RECIPE, [line(phi_step=9.0)], None, 0.0, exam)
    assert checkup.phi_step(checkup.metrics[0]) is None
    assert [finding.verdict for finding in diagnose(checkup)] == [doctor.LEARNED]
    assert dict(measurements(checkup))["change of φ a meta-step ÷ size of a fresh φ"] == "–"


WILD = {"mine": curve(500.0, 806.0, 806.0, 806.0), "rescaled": {0.01: curve(0.9, 0.7)}}
FALLING = [line(e, best_loss=900 - e, validation_loss=900 - e) for e in range(1, 9)]


@pytest.mark.parametrize("metrics", [FALLING, [line(nonfinite=3)], [line(validation_loss=5.0)]])
def test_a_scale_that_throws_theta_away_is_the_only_advice(metrics: list[dict[str, Any]]) -> None:
    found = findings(metrics=metrics, **WILD)
    # What was not finite is counted, without advice of its own.
    struck = [doctor.NONFINITE] * any(one.get("nonfinite", 0) for one in metrics)
    assert [one.verdict for one in found] == [doctor.SCALE, *struck, doctor.NOT_YET]
    assert "and 0.697 with updates 0.01 × as large" in found[0].numbers
    # RECIPE's LSTM has a scale of 0.1.
    assert found[0].remedy == 'try --optimizer "lstm(scale=0.001)"'
    assert not any(one.remedy for one in found[1:])


def test_where_no_scale_gains_the_largest_that_throws_nothing_away_is_named() -> None:
    scales = {0.001: curve(1.0, 1.0), 0.01: curve(1.2, 1.4), 0.1: curve(20.0, 30.0)}
    found = findings(mine=WILD["mine"], rescaled=scales)
    assert found[0].remedy == 'try --optimizer "lstm(scale=0.001)"'


def test_a_scale_is_not_named_where_another_does_no_better_or_much_as_well() -> None:
    level = {"mine": curve(1.0, 0.5, 0.5, 0.5), "others": {"sgd": curve(0.3, 0.05)}}
    assert verdicts(rescaled={10.0: curve(1.0, 0.9)}, **level) == [doctor.NOT_YET]
    assert verdicts(rescaled={10.0: curve(0.8, 0.3)}, **level) == [doctor.NOT_YET]
    faint = level | {"mine": curve(1.0, 0.99, 0.9, 0.9)}
    assert verdicts(rescaled={10.0: curve(0.8, 0.3)}, **faint)[0] == doctor.SCALE


def test_the_log_alone_names_the_scale_and_never_more_epochs() -> None:
    found = diagnose(Checkup(RECIPE, FALLING, None, 0.3))
    assert [one.verdict for one in found] == [doctor.SCALE, doctor.NOT_YET]
    assert [one.remedy for one in found] == ['try --optimizer "lstm(scale=0.01)"', ""]


def test_one_remedy_at_most_is_of_a_cause() -> None:
    sick = {"responses": (1e-6, 0.5), "gradient": 1e-8, **WILD}
    found = findings(metrics=[line(phi_step=0.2, nonfinite=3)], **sick)
    assert [one.verdict for one in found] == [doctor.BLIND, doctor.NONFINITE, doctor.NOT_YET]
    assert [bool(one.remedy) for one in found] == [True, False, False]
