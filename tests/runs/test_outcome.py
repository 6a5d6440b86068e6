"""The outcome of a comparison: one sentence that says what the table does."""

from pathlib import Path

import numpy as np
import pytest

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import summarize
from metadescent.descent.tuning import Tuned
from metadescent.runs.outcome import outcome_of, training_of
from metadescent.runs.report import comparison_table

RNG = np.random.default_rng(0)
HARD = np.exp(RNG.normal(size=(20, 1)))
HERE = "it was trained on this problem"


def of(shift: float = 0.0, **rates: float) -> Comparison:
    """Curves that fall by e^{−rate t}; a rate of NaN is a curve that diverged."""
    losses = {n: shift + HARD * np.exp(-r * np.arange(1, 41)) for n, r in rates.items()}
    curves = {name: summarize(curves) for name, curves in losses.items()}
    tuned = {n: Tuned(0.3, [], [], "by hand") for n in rates if n != "mine"}
    return Comparison("p", 40, 20, curves, tuned, 0.0, losses=losses)


def cells(comparison: Comparison) -> list[str]:
    return [cell for row in comparison_table(comparison).rows for cell in row]


@pytest.mark.parametrize(
    ("rates", "begins"),
    [
        ({"mine": 0.2, "sgd": 0.05, "nag": 0.1}, "mine won against sgd and nag; it gets to the"),
        ({"mine": 0.1, "sgd": 0.05, "nag": 0.1}, "mine did not win: it is level with nag; "),
        ({"mine": 0.05, "sgd": 0.01, "nag": 0.1}, "mine lost: it is behind nag; it never gets to"),
        ({"mine": 0.05, "sgd": 0.05, "nag": 0.1}, "mine lost: it is behind nag and level with sgd"),
    ],
)
def test_who_won_comes_first_and_speed_before_loss(rates: dict, begins: str) -> None:
    sentence = outcome_of(of(**rates), "mine", HERE)
    assert sentence.startswith(begins)
    assert sentence.index("final loss of nag") < sentence.index("ends at")
    assert sentence.endswith(f"× that loss; {HERE}.")
    assert sentence.count(".\n") == 0


def test_a_speed_up_is_of_the_best_that_takes_one_gradient_a_step() -> None:
    comparison = of(mine=0.2, sgd=0.1, lbfgs=0.9)
    assert comparison.reference == "sgd"
    assert comparison.speed_up("mine") == pytest.approx(2.0, rel=0.1)
    assert "lbfgs is ahead of it (speed-up " in outcome_of(comparison, "mine", HERE)
    assert comparison_table(comparison).columns[:3] == ["", "speed-up", "÷ sgd"]


def test_what_diverged_is_said_in_words_and_never_as_nan() -> None:
    for comparison in (of(mine=0.1, sgd=np.nan, nag=0.2), of(mine=np.nan, nag=0.2)):
        text = outcome_of(comparison, "mine", HERE) + " ".join(cells(comparison))
        assert "nan" not in text
        assert "diverge" in text
    assert "nan" not in outcome_of(of(mine=0.1, sgd=np.nan), "mine", HERE)


def test_below_zero_the_difference_stands_for_the_ratio() -> None:
    assert " above it;" in outcome_of(of(-1.0, mine=0.05, sgd=0.1), "mine", HERE)


def test_with_nothing_to_compare_there_is_no_winner() -> None:
    assert outcome_of(of(mine=0.1), "mine", HERE) == (
        f"mine was compared with no other optimizer; {HERE}."
    )
    assert comparison_table(of(mine=0.1)).columns[:2] == ["", "last 10th"]


@pytest.mark.parametrize(
    ("optimizer", "problem", "said"),
    [
        ("mnist-lstm", "mnist", HERE),
        ("mnist-lstm", "quadratic", "it was trained on mnist, and quadratic is not that"),
        (
            "quadratic-lstm",
            "quadratic(dimension=20)",
            "it was trained on quadratic, and this is quadratic(dimension=20)",
        ),
    ],
)
def test_where_an_optimizer_was_trained_is_said_beside_the_problem(
    optimizer: str, problem: str, said: str
) -> None:
    assert training_of(optimizer, problem, optimizer) == said


def test_a_family_is_called_by_its_file_and_name(tmp_path: Path) -> None:
    import jax

    from metadescent import zoo
    from metadescent.optimizers.lstm import LSTM

    def trained(on: str | None) -> str:
        path = tmp_path / "m.safetensors"
        zoo.save(path, LSTM((2,), key=jax.random.key(0)), trained_on=on)
        return training_of(str(path), "there/own.py:arm(seed=1)", "m")

    assert (
        trained("/a/own.py:arm") == "it was trained on own.py:arm, and this is own.py:arm(seed=1)"
    )
    assert trained("/a/own.py:leg").endswith("and own.py:arm(seed=1) is not that")
    assert trained("own.py:leg + there/own.py:arm(seed=1)") == f"{HERE}, among others"
    assert trained(None) == "the file of m does not say what it was trained on"
