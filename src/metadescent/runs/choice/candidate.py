"""What is worth a trial on a family, once it has been looked at: rules, scales and estimators.

A candidate that has several starts begins with the one of them that is best
untrained. How many problems a meta-step has follows from what they take and hold.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from metadescent._levels import written
from metadescent.descent.baselines import BASELINES, spec_at
from metadescent.runs.choice.look import Look
from metadescent.runs.choice.sizes import FEWEST, at_once
from metadescent.runs.recipe import Recipe

SCALES = (0.1, 0.3, 1.0)
"""Times Adam's best rate."""
REACHES = (1.0, 5.0)
SMALL = 0.01
"""Times θ₀: what some families had better begin at."""
EPISODES, EVOLVED = 10, 5
"""Of an epoch, of rules that are differentiated and of evolved ones; fewer of dear ones."""
HELD_OUT = 0.3
"""Of the tasks, where they are numbered: what φ is chosen by, and what the choice is judged on."""
EPOCHS = 10**6
"""Of a trial, which ends by the clock."""
UNROLL = 20
OWN = 1000
"""Up to so many coordinates have numbers of their own."""
PAIRS = 8
HELD = 150
"""Numbers a coordinate that a meta-gradient of an LSTM holds."""
PART, DEAREST = 0.01, 0.05
"""Of the time, which an epoch is to take, and which an episode of the fewest problems may take."""
MOST = 64
"""Problems of a meta-step that is evolved."""


class Candidate(NamedTuple):
    """A name, a recipe, and the rules among which its optimizer is picked before it is trained."""

    name: str
    recipe: Recipe
    starts: tuple[str, ...]

    @property
    def is_evolved(self) -> bool:
        """Return whether few numbers of φ are learned, by evolution strategies."""
        return self.recipe.estimator.startswith("es(")


def candidates(seen: Look, *, steps: int, seed: int, seconds: float) -> list[Candidate]:
    """Return what suits what was seen and the time that there is."""
    adam, levels, n = seen.rates["adam"], written(seen.levels), seen.sizes.coordinates
    most = seen.sizes.most(PART * seconds, steps)
    problems = max(1, min(16, most, at_once(HELD * n)))
    common = replace(
        common_recipe(steps=steps, seed=seed),
        levels=levels,
        problems=problems,
        episodes=max(1, min(EPISODES, most // problems)),
        validation_problems=seen.sizes.validated,
    )
    log = replace(common, estimator=f"truncated(log={seen.delta:.3g},floor={seen.floor:.6g})")
    chosen = [
        Candidate("lstm", common, ("lstm",)),
        Candidate("normalized", log, (f"rnnprop(scale={adam:.3g})",)),
    ]

    def evolved(name: str, leaves: str, held: int, starts: Iterable[str]) -> None:
        """Add a rule of few numbers, learned through whole runs, by what counts in the end."""
        tried = 2 * PAIRS + 1
        fitting = min(MOST, at_once(tried * held * n))
        problems = min(max(FEWEST, most // (tried * EVOLVED)), fitting)
        episodes = max(1, min(EVOLVED, most // (tried * max(1, problems))))
        # Of fewer, the mean curve is another one each time.
        dear = seen.sizes.most(DEAREST * seconds, steps) < tried * FEWEST
        if problems >= FEWEST and not dear:
            few = replace(
                common, unroll=steps, problems=problems, episodes=episodes, meta_rate=0.03
            )
            estimator = f"es(pairs={PAIRS},{leaves}levels='{levels}')"
            chosen.append(Candidate(name, replace(few, estimator=estimator), tuple(starts)))

    plain = [name for name in seen.ends if not BASELINES[name].searches_along_line]
    plain.sort(key=lambda name: seen.ends[name])
    # Where f is noise in part, so is which baseline is best.
    for name in plain[: 2 if seen.minibatches else 1]:
        rule = spec_at(name, seen.rates[name])
        evolved(f"paced-{name}", "", 10, [f"{rule} >> pace(horizon={float(steps)})"])
    # A line through noise says nothing of curvature.
    if not seen.minibatches:
        own = f"coordinates={n}," if n <= OWN else ""
        sized = [(part * adam, reach, "") for part in SCALES for reach in REACHES]
        sized += [(part * adam, REACHES[-1], f"start={SMALL},") for part in SCALES]
        evolved(
            "quasi-newton",
            "leaves='[bl]*',",
            70,
            [
                f"tailored({own}scale={scale:.3g},reach={reach},{start}horizon={float(steps)})"
                for scale, reach, start in sized
            ],
        )
    return chosen


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
