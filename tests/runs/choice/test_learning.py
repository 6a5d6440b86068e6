"""The choice as a whole, on a family of small quadratic functions, killed and gone on with."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metadescent import zoo
from metadescent.problems.from_function import FromFunction
from metadescent.runs.choice import candidate, learning, sizes, verdict
from metadescent.runs.choice.journal import Journal
from metadescent.runs.choice.learning import asked_for, learn_in
from metadescent.runs.folder import OPTIMIZER
from metadescent.zoo.cards import read_card

STEPS = 10
SCALES = jnp.exp(jax.random.normal(jax.random.key(0), (50, 2)))


def family() -> FromFunction:
    return FromFunction(
        lambda theta, key, scales: jnp.sum(scales * theta**2),
        lambda key: jax.random.normal(key, (2,)),
        SCALES,
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (sizes, "MOST_VALIDATED", 32),
        (sizes, "MOST_LOOKED_AT", 16),
        (candidate, "EPISODES", 2),
        (verdict, "JUDGED", 32),
    ):
        monkeypatch.setattr(module, name, value)


class KilledError(Exception):
    """Stands for a process that ends at once."""


class Stages:
    """Bars that note what they were of, and end the process at one of them."""

    def __init__(self, last: str = "") -> None:
        self.titles: list[str] = []
        self.last = last

    @contextlib.contextmanager
    def __call__(self, title: str, total: int, done: int = 0) -> Iterator[Any]:
        self.titles.append(title.partition(" (")[0])
        if self.last and title.startswith(self.last):
            raise KilledError
        yield lambda *_, **__: None


@pytest.mark.slow
def test_killed_at_any_stage_it_goes_on_and_ends_with_an_optimizer(tmp_path: Path) -> None:
    problem, asked = family(), asked_for("p", 0.5, STEPS, 0)
    titles: list[list[str]] = []
    for last in ("start lstm", "try", "train", "judge", ""):
        stages = Stages(last)
        with contextlib.suppress(KilledError):
            learned = learn_in(tmp_path, problem, asked, bar=stages)
        titles.append(stages.titles)
    # Each goes on where the one before ended.
    assert titles[0][0] == "look"
    assert [one[0][:3] for one in titles[1:]] == ["sta", "try", "tra", "jud"]
    assert titles[-1] == ["judge"]
    journal = Journal(tmp_path, asked)
    kept, r = journal.get("kept")
    tried = [trial.best for trial in journal.trials()]
    assert r <= min(tried)
    assert kept == "trained" or kept in {"as it begins", *(t.name for t in journal.trials())}
    # All that was written is an optimizer like others.
    m = zoo.load(tmp_path)
    g, _ = m.update(jnp.ones(2), m.init(jnp.ones(2)), jnp.ones(2))
    assert np.isfinite(g).all()
    card = read_card(tmp_path / OPTIMIZER)
    assert card["chosen_on" if kept == "as it begins" else "trained_on"] == "p"
    assert next(iter(learned.comparison.curves)) == "learned"
    assert learned.kept == kept
    assert kept != "trained" or learned.recipe == journal.chosen()
    assert learned.advice[0].startswith("learned ")


@pytest.mark.slow
def test_the_function_keeps_nothing_and_says_what_came_of_it() -> None:
    learned = learning.learn(family(), minutes=0.05, steps=STEPS)
    assert learned.comparison.speed_up("learned") is not None
    assert "<" in learned._repr_html_()
    state = learned.optimizer.init(jnp.ones(2))
    assert np.isfinite(learned.optimizer.update(jnp.ones(2), state, jnp.ones(2))[0]).all()
