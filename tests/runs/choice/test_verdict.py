"""Whether it is worth keeping, in a sentence that is so."""

import numpy as np
import pytest

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import summarize
from metadescent.descent.tuning import Tuned
from metadescent.runs.choice.verdict import LEARNED, advice

HARD = np.exp(0.1 * np.random.default_rng(0).normal(size=(20, 1)))


def of(**rates: float) -> Comparison:
    """Curves that fall by e^{−rate t}."""
    losses = {name: HARD * np.exp(-rate * np.arange(1, 101)) for name, rate in rates.items()}
    curves = {name: summarize(curves) for name, curves in losses.items()}
    tuned = {name: Tuned(0.3, [], [], "by hand") for name in rates if name != LEARNED}
    return Comparison("p", 100, 20, curves, tuned, 0.0, losses=losses)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"sgd": 0.01, "adam": 0.02}, "It is worth keeping: 2 × as fast as adam."),
        (
            {"sgd": 0.01, "lbfgs": 0.4},
            "It is not worth keeping: lbfgs is ahead of it and is where it ends after 10 "
            "gradients; use that, or give it more minutes.",
        ),
        (
            {"sgd": 0.01, "adam": 0.08},
            "It is not worth keeping: adam at a rate of 0.3 is ahead of it and is where it ends "
            "after 48 gradients; use that, or give it more minutes.",
        ),
        (
            {"sgd": 0.01, "adam": 9.0},
            "It is not worth keeping: adam at a rate of 0.3 is ahead of it and is where it ends "
            "after 1 gradient; use that, or give it more minutes.",
        ),
    ],
)
def test_it_says_what_to_use(rates: dict[str, float], said: str) -> None:
    first, *then = advice(of(**{LEARNED: 0.04}, **rates))
    assert first.startswith(LEARNED)
    assert then == [said]


def test_it_says_where_the_best_baseline_diverges() -> None:
    comparison = of(**{LEARNED: 0.04}, sgd=0.02)
    lost = comparison.losses["sgd"].copy()
    lost[:3, 50:] = np.inf
    comparison = comparison._replace(
        losses={**comparison.losses, "sgd": lost},
        curves={**comparison.curves, "sgd": summarize(lost)},
    )
    assert advice(comparison) == [
        "learned won against sgd; sgd, the best baseline, diverges; it was trained on this "
        "problem.",
        "It is worth keeping if it is finite where sgd, the best baseline, diverges.",
    ]


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("trained", "it was trained on this problem."),
        ("as it begins", "it is as it begins, which no training on this problem improved on."),
        (
            "lstm",
            "it was trained on this problem in the trial lstm, and longer training did not improve "
            "it.",
        ),
    ],
)
def test_it_says_where_phi_is_from(kept: str, said: str) -> None:
    assert advice(of(**{LEARNED: 0.04}, sgd=0.02), kept)[0].endswith(said)


def test_it_says_where_it_is_judged_on_what_it_learned_from() -> None:
    assert advice(of(**{LEARNED: 0.04}, sgd=0.02), few=22)[1] == (
        "It was judged on tasks that it was chosen by: there are 22, too few to hold some out; "
        "evaluate it on others."
    )


def test_where_it_is_level_the_baseline_will_do() -> None:
    assert advice(of(**{LEARNED: 0.02}, sgd=0.02))[1:] == [
        "It is hardly worth keeping: sgd at a rate of 0.3 will do."
    ]
