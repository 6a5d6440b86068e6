"""Every figure's criteria: what they are of is there, and each can fail as it should."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from metadescent.descent import baselines
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import Comparison
from metadescent.figures.paper import experiments
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import CRITERIA, FIGURE4
from metadescent.figures.paper.criterion import BASELINES, BEGUN, LEADER, OURS, Kind, digest_of
from metadescent.figures.paper.panels import LearningCurves
from metadescent.figures.paper.wording import CONDITIONS, all_criteria

FIGURES = {n: e for n, e in experiments().items() if isinstance(e, LearningCurves)}
each = pytest.mark.parametrize("figure", FIGURES)
HAND = baselines.KNOWN
# What is claimed of baselines alone, whoever has learned what.
OF_BASELINES = {"equivalent", "equivalent-decay", "equivalent-start", "adam"}


def changed(
    experiment: LearningCurves, panel: Callable, change: Callable[[str, Comparison], Any]
) -> Mapping[str, Comparison]:
    """Return a figure's panels with the losses of some optimizers changed."""
    return {name: change(name, panel(s)) for name, s in experiment.settings.items()}


def learned_of(made: Comparison) -> list[str]:
    return [n for n in made.curves if n not in HAND and "begins" not in n]


def test_every_figure_has_criteria_and_every_criterion_a_name() -> None:
    assert set(CRITERIA) == set(experiments())
    for criteria in CRITERIA.values():
        assert len({criterion.id for criterion in criteria}) == len(criteria)
        names = {criterion.id for criterion in criteria}
        for criterion in criteria:
            assert set(criterion.given) < names
            assert criterion.margin > 0
            assert ('"' in criterion.says) == (criterion.section != OURS)


@each
def test_what_criteria_are_of_is_in_the_panels(figure: str, panel: Callable) -> None:
    settings = FIGURES[figure].settings
    for criterion in CRITERIA[figure]:
        assert set(criterion.panels) <= set(settings)
        for name in criterion.panels:
            there = {*panel(settings[name]).curves, *LEADER, *BASELINES, *BEGUN}
            # Where there is SGD, it stands beside what was learned.
            assert {*criterion.mine, *criterion.others} - there <= {"sgd"}
            assert "sgd" in settings[name].baselines or name in ("mnist-10000", "decay", "start")


@each
def test_where_all_is_as_it_is_said_every_claim_holds(figure: str, failing: Callable) -> None:
    assert failing(FIGURES[figure]) == []


@each
def test_a_figure_s_claims_differ_and_say_when_they_hold(figure: str, claims: Callable) -> None:
    texts = [claim.text for claim in claims(FIGURES[figure]).values()]
    assert len(set(texts)) == len(texts)
    assert all("; holds if " in text for text in texts)


@each
def test_of_sgd_no_claim_holds(figure: str, panel: Callable, failing: Callable) -> None:
    """What is called learned goes as SGD does, from the beginning of each of its runs."""

    def like_sgd(_: str, made: Comparison) -> Comparison:
        if "sgd" not in made.losses and "adam" in made.losses:
            slower = {n: 1.4 * made.losses["adam"] for n in learned_of(made)}
            return made._replace(losses=made.losses | slower)
        return of("sgd", made)

    experiment = FIGURES[figure]
    assert set(failing(experiment, changed(experiment, panel, like_sgd))) == claimed_of(figure)


def of(name: str, made: Comparison) -> Comparison:
    """Return a panel whose learned optimizers go as another does."""
    others = {n: made.losses[name] for n in learned_of(made)} if name in made.losses else {}
    held_out = {n: made.held_out_losses[name] for n in learned_of(made) if made.held_out_losses}
    return made._replace(
        losses=made.losses | others, held_out_losses=dict(made.held_out_losses) | held_out
    )


def claimed_of(figure: str) -> set[str]:
    """Return the claims that are about what was learned."""
    return {c.id for c in CRITERIA[figure]} - OF_BASELINES - STEADY


# That a run ends where it was lowest is no merit, and claimed only beside a loss.
STEADY = {c.id for c in CRITERIA["figure8-transfer"] if c.kind == "settles"}


@each
def test_of_the_untrained_no_claim_holds(figure: str, panel: Callable, failing: Callable) -> None:
    def untrained(_: str, made: Comparison) -> Comparison:
        begun = [n for n in made.losses if "begins" in n]
        return of(begun[0], made) if begun else made

    experiment = FIGURES[figure]
    assert set(failing(experiment, changed(experiment, panel, untrained))) == claimed_of(figure)


@each
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("runs", [1, 12])
def test_of_what_diverged_no_claim_holds(
    figure: str, value: float, runs: int, panel: Callable, failing: Callable
) -> None:
    def diverged(_: str, made: Comparison) -> Comparison:
        for name in learned_of(made):
            made.losses[name][:runs] = value
            if made.held_out_losses:
                made.held_out_losses[name][:runs] = value
        return made

    experiment = FIGURES[figure]
    fails = set(failing(experiment, changed(experiment, panel, diverged)))
    assert fails == {c.id for c in CRITERIA[figure]} - OF_BASELINES


@each
def test_where_all_baselines_diverge_nobody_is_ahead(
    figure: str, panel: Callable, failing: Callable
) -> None:
    def nobody(_: str, made: Comparison) -> Comparison:
        for name in set(made.losses) & set(HAND):
            made.losses[name][:] = np.inf
            if made.held_out_losses:
                made.held_out_losses[name][:] = np.inf
        return made

    experiment = FIGURES[figure]
    fails = set(failing(experiment, changed(experiment, panel, nobody)))
    beside_baselines = {c.id for c in CRITERIA[figure] if c.others == BASELINES}
    assert beside_baselines - STEADY <= fails


@each
def test_a_panel_that_goes_wrong_fails_its_own_claims(
    figure: str, panel: Callable, failing: Callable
) -> None:
    experiment = FIGURES[figure]
    for name, setting in experiment.settings.items():
        # On ReLU the paper's optimizer goes wrong as it is.
        if not setting.learned or name.endswith("-paper") or name == "relu":
            continue
        made = panel(setting)
        fails = failing(experiment, {name: of(as_begun(setting.optimizer), made)})
        criteria = {c.id: c for c in CRITERIA[figure]}
        touched = {id for id, c in criteria.items() if name in c.panels}
        touched |= {id for id, c in criteria.items() if set(c.given) & touched}
        assert set(fails) <= touched
        assert fails or not touched


def test_the_docs_have_a_table_of_all_criteria() -> None:
    rows = all_criteria().splitlines()[2:]
    assert len(rows) == sum(map(len, CRITERIA.values()))
    assert all(row.count(" | ") == 3 for row in rows)
    kinds = {c.kind for criteria in CRITERIA.values() for c in criteria}
    assert kinds == set(get_args(Kind)) == set(CONDITIONS)


def test_a_change_of_criteria_is_written_down() -> None:
    """The page has their digests; a change needs a new one, and a row on what changed and why."""
    page = (Path(__file__).parents[3] / "docs" / "criteria.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*`) \| `([0-9a-f]{12})` \|", page, re.MULTILINE)
    digests = {name: digest for names, digest in rows for name in re.findall(r"`([^`]+)`", names)}
    assert digests == {name: digest_of(criteria) for name, criteria in CRITERIA.items()}
    easier = FIGURE4[0]._replace(margin=0.81)
    assert digest_of([easier, *FIGURE4[1:]]) != digests["figure4"]


def test_no_margin_depends_on_a_panel_or_a_picture() -> None:
    margins = {criterion.margin for criteria in CRITERIA.values() for criterion in criteria}
    assert all(isinstance(margin, float) for margin in margins)
    for figure in ("figure9", "figure9-vgg19"):
        bounds = {
            criterion.id.partition("-")[2]: criterion.margin for criterion in CRITERIA[figure]
        }
        assert bounds["border"] == 0.05
        by_size = [[c.margin for c in CRITERIA[figure] if c.panels == (s,)] for s in ("64", "128")]
        assert by_size[0] == by_size[1]


def test_lstm_sub_begins_as_the_lstm_does() -> None:
    """So that one control stands for both."""
    import jax

    from metadescent import zoo
    from metadescent.runs.plan import as_it_begins
    from metadescent.zoo.cards import read_card

    both = [
        as_it_begins(read_card(zoo.path(name)), name)
        for name in ("cifar10-blend", "cifar10-blend-sub")
    ]
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        assert np.array_equal(one, other)


def test_figure_9_and_appendix_b_have_their_quantities_in_words() -> None:
    for figure in ("figure9", "figure10", "figure11"):
        for criterion in CRITERIA[figure]:
            assert re.search(r"[A-Za-zf]", criterion.quantity)


def test_a_subset_of_criteria_is_judged_alone(panel: Callable) -> None:
    experiment = FIGURES["transfer"]
    few = {n: s for n, s in experiment.settings.items() if n in ("mnist-100", "mnist-100-paper")}
    criteria = [c for c in CRITERIA["transfer"] if set(c.panels) <= set(few)]
    small = replace(experiment, settings=few, criteria=criteria)
    claims = judge_claims(criteria, small.records({n: panel(s) for n, s in few.items()}))
    assert [claim.id for claim in claims] == ["mnist-100"]
    assert as_begun("mlp-robust-lstm") in panel(few["mnist-100"]).curves
