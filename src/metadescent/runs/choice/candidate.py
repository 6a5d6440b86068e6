"""The candidates for trials on a family after the look at it: rules, scales and estimators.

A candidate with several starts begins with the start that is best untrained. The number of
problems in a meta-step depends on how much time and memory they take.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from metadescent._levels import levels_text
from metadescent.descent.baselines import BASELINES, spec_at
from metadescent.runs.choice.look import Look
from metadescent.runs.choice.sizes import FEWEST, HELD, at_once
from metadescent.runs.recipe import Recipe

SCALES = (0.3, 0.1, 1.0)
"""Scales of a rule's first steps, as multiples of the tuned Adam's."""
REACHES = (5.0, 1.0)
SMALL = 0.01
"""A factor of θ₀, as some families are solved better from a small θ₀."""
EPISODES, EVOLVED = 10, 5
"""Episodes of an epoch, for differentiated and for evolved rules; fewer if they take long."""
HELD_OUT = 0.3
"""Share of numbered tasks that is held out, to choose φ and to judge the choice."""
EPOCHS = 10**6
"""Epochs of a trial, which the clock ends long before."""
UNROLL = 20
OWN = 1000
"""The most coordinates for which a rule keeps numbers for each coordinate."""
PACED = "paced-"
"""Begins the name of a candidate that is a baseline with a schedule."""
PAIRS = 8
PART, DEAREST = 0.01, 0.05
"""Shares of the time: of one epoch, and the most for an episode of the fewest problems."""
STARTS = 0.1
"""The largest share of the time for the starts of a candidate."""
MOST = 64
"""The most problems of a meta-step by evolution strategies."""


class Candidate(NamedTuple):
    """A name, a recipe, and the rules among which its optimizer is picked before it is trained."""

    name: str
    recipe: Recipe
    starts: tuple[str, ...]

    def as_it_begins(self, r: float) -> float:
        """Return the r to expect of it, where its start has r on few problems, or NaN.

        It is at most 1 for a baseline with a schedule, which may miss a level by very little.
        """
        r = math.inf if math.isnan(r) else r
        return min(r, 1.0) if self.name.startswith(PACED) else r

    @property
    def is_evolved(self) -> bool:
        """Tell whether few numbers of φ are learned, by evolution strategies."""
        return self.recipe.estimator.startswith("es(")


def candidates(seen: Look, *, steps: int, seed: int, seconds: float) -> list[Candidate]:
    """Return the candidates that suit the family and the time that there is."""
    scale, levels, sizes = seen.scale, levels_text(seen.levels), seen.sizes
    n = sizes.coordinates
    most = sizes.most(PART * seconds, steps)
    problems = max(1, min(16, most, at_once(HELD * n)))
    common = replace(
        common_recipe(steps=steps, seed=seed),
        levels=levels,
        problems=problems,
        episodes=max(1, min(EPISODES, most // problems)),
        validation_problems=sizes.validated,
    )
    log = replace(common, estimator=f"truncated(log={seen.delta:.3g},floor={seen.floor:.9g})")
    chosen = []
    if sizes.most(DEAREST * seconds, steps) >= FEWEST:
        chosen.append(Candidate("lstm", common, ("lstm",)))
        chosen.append(Candidate("normalized", log, (f"rnnprop(scale={scale:.3g})",)))

    whole = replace(common, unroll=steps, meta_rate=0.03)

    def evolved(name: str, leaves: str, held: int, starts: Sequence[str]) -> None:
        """Add a rule with few numbers, learned through whole runs by its times to levels."""
        tried, runs = 2 * PAIRS + 1, sizes.most(PART * seconds, steps, held)
        fitting = min(MOST, at_once(tried * held * n))
        problems = min(max(FEWEST, runs // (tried * EVOLVED)), fitting)
        episodes = max(1, min(EVOLVED, runs // (tried * max(1, problems))))
        # With fewer problems the mean curve differs too much from one meta-step to the next.
        dear = sizes.most(DEAREST * seconds, steps, held) < tried * FEWEST
        count = sizes.most(STARTS * seconds, steps, held) // sizes.validated
        if problems >= FEWEST and not dear:
            estimator = f"es(pairs={PAIRS},{leaves}levels='{levels}')"
            few = replace(whole, problems=problems, episodes=episodes, estimator=estimator)
            chosen.append(Candidate(name, few, tuple(starts[: max(1, count)])))

    plain = [name for name in seen.ends if not BASELINES[name].searches_along_line]
    plain.sort(key=lambda name: seen.ends[name])
    rules = [f"{spec_at(name, seen.rates[name])} >> pace(horizon={float(steps)})" for name in plain]
    # Where f is noisy, so is the order of the baselines; then the best two are tried.
    for name, rule in list(zip(plain, rules, strict=True))[: 2 if seen.minibatches else 1]:
        evolved(f"{PACED}{name}", "", 10, [rule])
    # Differences of noisy gradients say nothing about curvature.
    if not seen.minibatches:
        evolved("quasi-newton", "leaves='[bl]*',", 70, quasi_newton_starts(seen, steps))
    if not chosen:
        # There is no time to learn: what is left is one start and the smallest meta-step.
        starts = rules if seen.minibatches else quasi_newton_starts(seen, steps)
        estimator = f"es(pairs=1,levels='{levels}')"
        least = replace(whole, problems=1, episodes=1, estimator=estimator)
        chosen.append(Candidate("start", least, (starts[0],)))
    return chosen


def quasi_newton_starts(seen: Look, steps: int) -> list[str]:
    """Return the starts of the quasi-Newton rule, with those from the usual θ₀ first."""
    n = seen.sizes.coordinates
    own = f"coordinates={n}," if n <= OWN else ""
    sized = [(part * seen.scale, reach, "") for reach in REACHES for part in SCALES]
    sized += [(part * seen.scale, REACHES[0], f"start={SMALL},") for part in SCALES]
    return [
        f"tailored({own}scale={scale:.3g},reach={reach},{start}horizon={float(steps)})"
        for scale, reach, start in sized
    ]


def common_recipe(*, steps: int, seed: int) -> Recipe:
    """Return what all candidates have in common."""
    return Recipe(
        steps=steps,
        unroll=unroll_of(steps),
        epochs=EPOCHS,
        episodes=EPISODES,
        problems=16,
        held_out=HELD_OUT,
        average=0.95,
        decay="constant",
        on_nonfinite="skip",
        seed=seed,
    )


def unroll_of(steps: int) -> int:
    """Return the divisor of the horizon that is closest to `UNROLL` in ratio."""
    divisors = [n for n in range(1, steps + 1) if steps % n == 0]
    return min(divisors, key=lambda n: max(n / UNROLL, UNROLL / n))
