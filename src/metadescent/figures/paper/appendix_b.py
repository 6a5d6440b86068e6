"""What figures 10 to 13 share: whose updates they show, and beside which hand-designed ones.

The paper's are those of the LSTM that was trained on neural art. The zoo's optimizer for neural art
sees whole pictures, and no function of one coordinate's gradient is what it does; so those of the
LSTM that was trained on MNIST are shown, on MNIST. SGD and Adam have the rates that serve them
best on the same problem for the horizon that the LSTM was trained for. Which coordinates are shown
is left to chance, among those that have a gradient at every step.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PRNGKeyArray

from metadescent import zoo
from metadescent.descent.baselines import BASELINES
from metadescent.descent.comparison import problem_keys
from metadescent.descent.curves import summarize
from metadescent.descent.tuning_cache import Progress, tune_all
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.figures.paper import Claim, Load, Reproduction, Seeds, budget_of
from metadescent.figures.paper.judge import Score, ahead
from metadescent.problems.base import Problem
from metadescent.registry import make_problem
from metadescent.zoo import file as artifact

LEARNED = "LSTM"
FOLLOWERS = ("sgd", "adam")
UNITS = len(FOLLOWERS) + 1

SUBJECT = "mnist-lstm"
"""The optimizer whose updates are shown."""


class Cast(NamedTuple):
    """The LSTM, who leads, and its followers, on a problem; `key` draws what is reported."""

    name: str
    problem_name: str
    problem: Problem
    num_steps: int
    seeds: Seeds
    optimizers: dict[str, AnyOptimizer]
    rates: dict[str, float]
    key: PRNGKeyArray

    def to_json(self) -> dict[str, Any]:
        """Return who was compared on what."""
        return {"optimizer": self.name, "problem": self.problem_name, "rates": self.rates}


class Experiment(ABC):
    """One of figures 10 to 13, as an experiment: what they have in common but what they show."""

    FIGURE: str
    UNITS = UNITS

    @property
    def OPTIMIZERS(self) -> tuple[str, ...]:  # noqa: N802
        """Return the optimizer that is shown."""
        return (SUBJECT,)

    @abstractmethod
    def show(self, found: Cast, seed: int, progress: Progress) -> Reproduction:
        """Measure, judge and draw; report progress once."""

    def reproduce(
        self,
        budget: str = "cpu",
        *,
        load: Load,
        data_dir: str | Path | None = None,
        seed: int = 0,
        cache: Path | None = None,
        progress: Progress = lambda _: None,
    ) -> Reproduction:
        """Trace the LSTM's updates and judge what the paper sees in them.

        Arguments:
            budget: "smoke", "cpu" or "paper".
            load: returns `SUBJECT`; it is asked once.
            data_dir: the folder that holds the data, if not the usual one.
            seed: draws trajectories, coordinates, and the problems that rates are tuned on.
            cache: folder where the tuned rates are kept and looked up; none if not given.
            progress: is told what is going on.

        Raises:
            UserError: if there is no such budget, or data is missing.

        Source: appendix B, figures 10 to 13.
        """
        found = cast(
            budget, load=load, data_dir=data_dir, seed=seed, cache=cache, progress=progress
        )
        return self.show(found, seed, progress)


def cast(
    budget: str,
    *,
    load: Load,
    data_dir: str | Path | None,
    seed: int,
    cache: Path | None,
    progress: Progress,
) -> Cast:
    """Load the LSTM and tune its followers.

    Raises:
        UserError: if there is no such budget, or data is missing.
    """
    effort = budget_of(budget)
    card = artifact.read_card(zoo.path(SUBJECT))
    problem = make_problem(card["trained_on"], data_dir)
    seeds: Seeds = effort.networks
    num_steps = effort.steps(card["recipe"]["steps"])
    tune_key, key = problem_keys(seed)
    tuned = tune_all(FOLLOWERS, problem, tune_key, num_steps, seeds.tune, cache, progress)
    rates = {follower: found.rate for follower, found in tuned.items()}
    optimizers: dict[str, AnyOptimizer] = {LEARNED: load(SUBJECT)}
    optimizers |= {follower: BASELINES[follower].make(rate) for follower, rate in rates.items()}
    return Cast(SUBJECT, card["trained_on"], problem, num_steps, seeds, optimizers, rates, key)


def scores(values: list[float]) -> Score:
    """Return the mean over problems with its 95 % interval."""
    found = summarize(np.asarray(values)[:, None])
    return Score(float(found.mean[0]), float(found.low[0]), float(found.high[0]))


def more(text: str, measured: Score, reference: Score) -> Claim:
    """Judge that something is more than something else, with intervals that are apart."""
    return Claim(
        f"{text}; holds if it is more and the 95 % intervals are apart",
        "B",
        measured.value,
        reference.value,
        ahead(reference, measured),
    )


def less(text: str, measured: Score, reference: Score) -> Claim:
    """Judge that something is less than something else, with intervals that are apart."""
    return Claim(
        f"{text}; holds if it is less and the 95 % intervals are apart",
        "B",
        measured.value,
        reference.value,
        ahead(measured, reference),
    )


def live(gradients: np.ndarray) -> np.ndarray:
    """Return which coordinates have a gradient at every step; all of them if none has.

    Example:
        >>> live(np.array([[1.0, 0.0], [2.0, 1.0]])).tolist()
        [True, False]
    """
    found = (gradients != 0).all(0)
    return found if found.any() else np.ones_like(found)
