"""Figures 11, 12 and 13: g_t of one coordinate as a function of its gradient ∇_t.

Appendix B: the first 32 steps of a trajectory of the LSTM, with the history of gradients held. What
the paper sees is judged on more coordinates of the same trajectory, at every step:

    "often step-like"     a curve is step-like if at least half of all the change in g falls within
                          a tenth of the range of gradients; "often" is at least half of the curves
    "opposite direction"  of the step-like curves, those whose step has the opposite sign of
                          Adam's; "sometimes" is at least one in a hundred
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from metadescent.descent.traits import STEP_SHARE, steps_of
from metadescent.figures.paper.appendix_b import LEARNED, Setup, UpdatesExperiment
from metadescent.figures.paper.claims import Claim
from metadescent.figures.paper.experiment import Context, Reproduction
from metadescent.figures.pictures import FUNCTION_STEPS, pictures_of

MOST_COORDINATES = 32
OFTEN = 0.5  # of the curves
SOMETIMES = 0.01  # of the step-like curves


class Shares(NamedTuple):
    """How many curves are step-like, by optimizer, and how many of the LSTM's go the other way."""

    step_like: dict[str, float]
    opposite: float


class UpdateFunctions(UpdatesExperiment):
    """One of the figures, by its number."""

    def __init__(self, number: int):
        self.number, self.figure = number, f"figure{number}"

    def show(self, setup: Setup, context: Context) -> Reproduction:
        """Vary gradients along a trajectory."""
        pictures = pictures_of(
            setup.optimizers,
            setup.problem,
            # A trajectory of its own for each figure, and coordinates of its own.
            jax.random.fold_in(setup.key, self.number),
            num_steps=min(FUNCTION_STEPS, setup.num_steps),
            count=min(MOST_COORDINATES, setup.seeds.report),
            seed=context.seed + self.number,
        )
        context.progress("varied gradients")
        shares, coordinate = _measure(pictures.curves), pictures.coordinates[0]
        measured = setup.to_json() | {
            "coordinate": coordinate,
            "coordinates": len(pictures.coordinates),
            **shares._asdict(),
        }
        return Reproduction(
            self.figure, {}, _judge(shares), lambda: pictures.functions(coordinate), measured
        )


EXPERIMENTS = [UpdateFunctions(number) for number in (11, 12, 13)]


def _measure(curves: Mapping[str, Float[np.ndarray, "steps k points"]]) -> Shares:
    """Return how many curves are step-like, and which way the LSTM's steps go."""
    steps = {name: steps_of(curve) for name, curve in curves.items()}
    step_like = {name: share >= STEP_SHARE for name, (share, _) in steps.items()}
    other_way = np.sign(steps[LEARNED][1]) == -np.sign(steps["adam"][1])
    mine = step_like[LEARNED]
    return Shares(
        {name: float(are_steps.mean()) for name, are_steps in step_like.items()},
        # Where none is step-like, none goes the other way.
        float(other_way[mine].mean()) if mine.any() else 0.0,
    )


def _judge(shares: Shares) -> list[Claim]:
    """Return what the paper sees in figures 11 to 13, in appendix B."""
    shape = "the share of step-like curves, over coordinates and steps"
    return [
        _at_least(
            '"the shape of this function for the LSTM optimizer is often step-like": '
            f"{shape}, against a half",
            shares.step_like[LEARNED],
            OFTEN,
        ),
        _at_least(
            f'"which is also the case for ADAM": {shape}, against a half',
            shares.step_like["adam"],
            OFTEN,
        ),
        _at_least(
            '"surprisingly the step is sometimes in the opposite direction as for ADAM": the share '
            "of the LSTM's step-like curves whose step has the opposite sign of Adam's, against "
            "one in a hundred",
            shares.opposite,
            SOMETIMES,
        ),
    ]


def _at_least(text: str, measured: float, reference: float) -> Claim:
    return Claim(f"{text}; holds if it is no less", "B", measured, reference, measured >= reference)
