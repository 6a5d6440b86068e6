"""Figures 11, 12 and 13: g_t of one coordinate as a function of its gradient ∇_t.

Appendix B has the first 32 steps of a trajectory of the LSTM, with the history of gradients fixed.
What the paper observes is judged on coordinates of many trajectories, at every step:

    "often step-like"     a curve is a step if at least half of all the change in g falls within a
                          tenth of the range of gradients, and this change is at least half of the
                          largest |g| on the curve; "often" is more than half of the curves
    "opposite direction"  given that, the curves that are steps of the opposite sign of Adam's;
                          "sometimes" is more than one in a hundred
"""

from collections import defaultdict
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float

from metadescent.descent.traits import are_steps, steps_of
from metadescent.figures.paper.appendix_b import LEARNED, Setup, UpdatesExperiment, record_by
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import CRITERIA, OWN_WAY, STEPS
from metadescent.figures.paper.experiment import Context, Reproduction
from metadescent.figures.pictures import FUNCTION_STEPS, pictures_of

COORDINATES = 8  # of each trajectory


class UpdateFunctions(UpdatesExperiment):
    """One of the figures, by its number."""

    def __init__(self, number: int):
        self.number, self.figure = number, f"figure{number}"

    def show(self, setup: Setup, context: Context) -> Reproduction:
        """Vary gradients along this figure's own trajectories; the first one is drawn."""
        num_steps, seed = min(FUNCTION_STEPS, setup.num_steps), context.seed + self.number
        first, values = None, defaultdict(lambda: defaultdict(list))
        for key in setup.keys:
            pictures = pictures_of(
                setup.optimizers,
                setup.problem,
                jax.random.fold_in(key, self.number),
                num_steps=num_steps,
                count=COORDINATES,
                seed=seed,
            )
            first = first or pictures
            for quantity, shares in shares_of(pictures.curves).items():
                for name, share in shares.items():
                    values[quantity][name].append(share)
        assert first is not None
        context.progress("varied gradients")
        records, coordinate = record_by(num_steps, values), first.coordinates[0]
        (record,) = records.values()
        return Reproduction(
            self.figure,
            {},
            records,
            judge_claims(CRITERIA[self.figure], records),
            lambda: first.functions(coordinate),
            setup.to_json(record) | {"coordinate": coordinate, "coordinates": COORDINATES},
        )


EXPERIMENTS = [UpdateFunctions(number) for number in (11, 12, 13)]


def shares_of(
    curves: Mapping[str, Float[np.ndarray, "steps k points"]],
) -> dict[str, dict[str, float]]:
    """Return the shares of each optimizer's curves that are steps, and steps against Adam's."""
    steps = {name: are_steps(curve) for name, curve in curves.items()}
    other_way = np.sign(steps_of(curves[LEARNED])[1]) == -np.sign(steps_of(curves["adam"])[1])
    return {
        STEPS: {name: float(are.mean()) for name, are in steps.items()},
        OWN_WAY: {LEARNED: float((steps[LEARNED] & other_way).mean())},
    }
