"""What figures 10 to 13 share: whose updates they show, and beside which hand-designed ones.

The paper's updates are those of the LSTM that was trained on neural art. The zoo's optimizer for
neural art sees whole pictures, so its update is not a function of one coordinate's gradient.
Therefore the figures show the LSTM that was trained on MNIST, on MNIST. SGD and Adam have the rates
that are best on the same problem for the LSTM's horizon. The LSTM as it begins is a third follower,
and not a rival. The coordinates that are shown are drawn at random, among those that have a
gradient at every step. Every trajectory is a run, on a problem of its own.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from metadescent import zoo
from metadescent.descent.baselines import BASELINES
from metadescent.descent.beginnings import as_begun
from metadescent.descent.comparison import problem_keys
from metadescent.descent.tuning import untuned
from metadescent.descent.tuning_cache import tune_each
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.figures.paper.budgets import Seeds
from metadescent.figures.paper.criteria import ALL
from metadescent.figures.paper.experiment import Context, Experiment, Reproduction
from metadescent.figures.paper.records import Record, mean_run, rounded
from metadescent.problems.base import Problem
from metadescent.registry import make_problem
from metadescent.zoo import file as artifact

LEARNED = "LSTM"
BEGUN = as_begun(LEARNED)
FOLLOWERS = ("sgd", "adam")
# The optimizer whose updates are shown.
SUBJECT = "mnist-lstm"


class Setup(NamedTuple):
    """The LSTM, whose trajectories `key` draws, its followers, and a problem."""

    problem_name: str
    problem: Problem
    num_steps: int
    seeds: Seeds
    optimizers: dict[str, AnyOptimizer]
    rates: dict[str, float]
    key: PRNGKeyArray

    def to_json(self, record: Record) -> dict[str, Any]:
        """Return the setting of the comparison, and means over the trajectories."""
        means = {
            quantity: {name: mean_run(record, quantity, name)[0] for name in by_name}
            for quantity, by_name in record.values.items()
        }
        finite = {
            quantity: {n: mean if np.isfinite(mean) else None for n, mean in by_name.items()}
            for quantity, by_name in means.items()
        }
        what = {"optimizer": SUBJECT, "problem": self.problem_name, "rates": self.rates}
        return what | {"means": finite}

    @property
    def keys(self) -> list[PRNGKeyArray]:
        """Return the key of each trajectory."""
        return list(jax.random.split(self.key, self.seeds.report))


class UpdatesExperiment(Experiment):
    """One of figures 10 to 13."""

    optimizers = (SUBJECT,)
    units = len(FOLLOWERS) + 1

    def run(self, context: Context) -> Reproduction:
        """Tune the followers, and compare the updates that all of them propose."""
        return self.show(set_up(context), context)

    @abstractmethod
    def show(self, setup: Setup, context: Context) -> Reproduction:
        """Measure, judge and draw; report progress once."""


def set_up(context: Context) -> Setup:
    """Tune the LSTM's followers on the problem that it was trained on."""
    card = artifact.read_card(zoo.path(SUBJECT))
    problem = make_problem(card["trained_on"], context.data_dir)
    seeds = context.budget.networks
    num_steps = context.budget.steps(card["recipe"]["steps"])
    tune_key, key = problem_keys(context.seed)
    sizes = num_steps, seeds.tune
    searched = {} if seeds.tune else untuned(FOLLOWERS)
    tuned = tune_each(
        FOLLOWERS, problem, tune_key, *sizes, context.cache, context.progress, searched
    )
    rates = {name: search.rate for name, search in tuned.items()}
    # The first optimizer leads.
    optimizers: dict[str, AnyOptimizer] = {LEARNED: context.learned[SUBJECT]}
    optimizers |= {BEGUN: context.begun[SUBJECT]}
    optimizers |= {name: BASELINES[name].at(rate) for name, rate in rates.items()}
    return Setup(card["trained_on"], problem, num_steps, seeds, optimizers, rates, key)


def record_by(steps: int, values: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Record]:
    """Return the record of the trajectories' values, by quantity and optimizer."""
    arrays = {
        quantity: {name: rounded(np.asarray(runs)) for name, runs in by_name.items()}
        for quantity, by_name in values.items()
    }
    return {ALL[0]: Record(steps, (LEARNED,), FOLLOWERS, arrays)}


def live(gradients: np.ndarray) -> np.ndarray:
    """Return the coordinates that have a gradient at every step; all of them if none has."""
    always = (gradients != 0).all(0)
    return always if always.any() else np.ones_like(always)
