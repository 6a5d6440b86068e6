"""Figure 10: the updates that the LSTM makes, and those that SGD and Adam would have made.

Appendix B, "histories of updates": two coordinates along one trajectory of the LSTM. What the paper
sees there is judged on many trajectories, over all coordinates that have a gradient at every step:

    "bigger updates"      the mean of |g|, against the larger one of SGD's and Adam's
    "momentum"            the time scale of the LSTM's updates, the steps in which their
                          autocorrelation falls to 1/e, against that of SGD's, which have none and
                          are as noisy as the gradients
    "shorter time-scale"  the same against that of Adam's updates
"""

from collections.abc import Mapping

import jax

from metadescent.descent.proposals import Histories, draw_coordinates, histories, scene
from metadescent.descent.traits import size, time_scale
from metadescent.figures.paper.appendix_b import (
    LEARNED,
    Setup,
    UpdatesExperiment,
    less,
    live,
    mean_over_problems,
    more,
)
from metadescent.figures.paper.claims import Claim, Score
from metadescent.figures.paper.experiment import Context, Reproduction
from metadescent.figures.proposals import draw_histories, history_panels

SHOWN = 2  # coordinates

Traits = dict[str, dict[str, Score]]


class Figure10(UpdatesExperiment):
    """Histories of updates."""

    figure = "figure10"

    def show(self, setup: Setup, context: Context) -> Reproduction:
        """Measure all trajectories, and draw the first."""
        first, traits = _measure(setup)
        context.progress("traced updates")
        measured = setup.to_json() | {
            trait: {name: score._asdict() for name, score in by_name.items()}
            for trait, by_name in traits.items()
        }
        coordinates = draw_coordinates(first.gradients, SHOWN, context.seed).tolist()
        panels = history_panels(first, coordinates, [LEARNED])
        return Reproduction(
            self.figure, {}, _judge(traits), lambda: draw_histories(panels), measured
        )


EXPERIMENTS = [Figure10()]


def _measure(setup: Setup) -> tuple[Histories, Traits]:
    """Return the histories of the first trajectory, and traits of updates over all of them."""
    first: Histories | None = None
    values: dict[str, dict[str, list[float]]] = {
        trait: {name: [] for name in setup.optimizers} for trait in ("size", "time scale")
    }
    for key in jax.random.split(setup.key, setup.seeds.report):
        seen = histories(setup.optimizers, scene(setup.problem, key), num_steps=setup.num_steps)
        first = first or seen  # is drawn; all of them are measured
        columns = live(seen.gradients)
        for name, updates in seen.updates.items():
            values["size"][name].append(size(updates[:, columns]))
            values["time scale"][name].append(time_scale(updates[:, columns]))
    assert first is not None
    return first, {
        t: {n: mean_over_problems(v) for n, v in names.items()} for t, names in values.items()
    }


def _judge(traits: Mapping[str, Mapping[str, Score]]) -> list[Claim]:
    """Return what the paper sees in figure 10, in appendix B."""
    sizes, scales = traits["size"], traits["time scale"]
    lasting = "the steps in which the autocorrelation of updates falls to 1/e, the LSTM's against"
    return [
        more(
            '"the trained optimizer makes bigger updates than SGD and ADAM": the mean of |g|, the '
            "LSTM's against the larger of SGD's and Adam's",
            sizes[LEARNED],
            max(sizes["sgd"], sizes["adam"], key=lambda score: score.value),
        ),
        more(f'"it uses some kind of momentum": {lasting} SGD\'s', scales[LEARNED], scales["sgd"]),
        less(
            '"its updates are more noisy than those proposed by ADAM which may be interpreted as '
            f"having a shorter time-scale momentum\": {lasting} Adam's",
            scales[LEARNED],
            scales["adam"],
        ),
    ]
