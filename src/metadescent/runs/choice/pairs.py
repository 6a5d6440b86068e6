"""How fast a rule is beside the best baseline, in pairs, with problems drawn again and again.

r̄ = exp(E log r)

r is that of `descent.levels`, for mean curves over as many problems as there are, drawn from them
with replacement, and E is over such draws. The levels are those of the baseline's mean curve on the
same draw. A rule that only just gets to a level does so in half of the draws, and a rule that fails
on one problem in a hundred fails in two of three draws. With one set of problems both would be a
matter of luck. A level that is never reached counts more than in training, because such a rule is
of no use to a user who wants that loss.

Source: the bootstrap is from Efron (1979), "Bootstrap methods: another look at the jackknife".
"""

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import apart, blown_up, final_loss, learning_curves, or_infinite
from metadescent.descent.levels import relative_time
from metadescent.descent.unrolling import AnyOptimizer
from metadescent.optimizers.base import LearnedOptimizer
from metadescent.problems.base import Problem
from metadescent.runs.choice.look import Look, levels_of

DRAWS = 64
NEVER = 16.0
"""Horizons that are counted for a level that is never reached."""
HUGE = 1e30
"""The loss that is counted where a loss is not finite."""
Curves = Float[np.ndarray, "problems steps"]


class PairedTimes:
    """The baselines that set levels, on the problems that φ is validated on.

    Arguments:
        seen: the look at the family.
        problem: what φ is validated on.
        key: of the validations.
        steps: the horizon.
    """

    def __init__(self, seen: Look, problem: Problem, key: PRNGKeyArray, steps: int):
        self.seen, self.problem, self.key, self.steps = seen, problem, key, steps

    def time_of(self, m: LearnedOptimizer) -> float:
        """Return r̄ of an optimizer."""
        return paired_time(self._curves(m), self._baselines, self.seen.best)

    @cached_property
    def _baselines(self) -> dict[str, Curves]:
        ends, rates = self.seen.ends, self.seen.rates
        # Beside the best, only the baseline that ends lowest matters, for its final loss.
        names = {self.seen.best, min(ends, key=lambda name: ends[name])}
        return {name: self._curves(BASELINES[name].at(rates[name], self.steps)) for name in names}

    def _curves(self, m: AnyOptimizer) -> Curves:
        count = self.seen.sizes.paired
        curves = learning_curves(m, self.problem, self.key, num_steps=self.steps, num_seeds=count)
        return or_infinite(np.asarray(curves, np.float64))


def paired_time(mine: Curves, baselines: Mapping[str, Curves], best: str) -> float:
    """Return r̄ of curves beside those of baselines; the baseline named `best` sets the levels."""
    # The few problems on which the best blew up count for no rule; those on which mine did do.
    kept = ~apart(blown_up(baselines[best]))
    mine, *others = (np.minimum(c[kept], HUGE) for c in (mine, *baselines.values()))
    by_name = dict(zip(baselines, others, strict=True))
    n = len(mine)
    shares = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=DRAWS) / n
    logs = []
    for share in shares:
        floor = min(float(final_loss(share @ curves)) for curves in by_name.values())
        levels = levels_of(share @ by_name[best], floor)
        logs.append(math.log(float(relative_time(share @ mine, levels, NEVER))))
    return math.exp(sum(logs) / len(logs))
