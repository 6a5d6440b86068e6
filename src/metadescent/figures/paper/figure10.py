"""Figure 10: the updates that the LSTM makes, and those that SGD and Adam would have made.

Appendix B, "histories of updates": two coordinates along one trajectory of the LSTM. What the paper
sees there is judged on many trajectories, over all coordinates that have a gradient at every step:

    "bigger updates"      the mean of |g|, against SGD's and Adam's on the same trajectory, given
                          that the LSTM descends further than as it begins, and further than SGD
    "momentum"            the share of updates that go against the gradient of the step before. By
                          SGD, which has no momentum, it is the share of gradients that keep their
                          sign. So it is by any rule that goes against ∇_t alone
    "shorter time-scale"  given that, the steps in which the autocorrelation of updates falls to
                          1/e, against that of Adam's updates
"""

from collections import defaultdict
from collections.abc import Mapping

from metadescent.descent.curves import final_loss
from metadescent.descent.proposals import Histories, draw_coordinates, histories, scene
from metadescent.descent.traits import carried_on, size, time_scale
from metadescent.figures.paper.appendix_b import (
    BEGUN,
    LEARNED,
    Setup,
    UpdatesExperiment,
    live,
    record_by,
)
from metadescent.figures.paper.claims import judge_claims
from metadescent.figures.paper.criteria import CARRY, CRITERIA, SIZE, TIME_SCALE
from metadescent.figures.paper.experiment import Context, Reproduction
from metadescent.figures.paper.records import Record
from metadescent.figures.proposals import draw_histories, history_panels

SHOWN = 2  # coordinates


class Figure10(UpdatesExperiment):
    """Histories of updates."""

    figure = "figure10"

    def show(self, setup: Setup, context: Context) -> Reproduction:
        """Measure all trajectories, and draw the first."""
        first, records = _measure(setup)
        context.progress("traced updates")
        (record,) = records.values()
        coordinates = draw_coordinates(first.gradients, SHOWN, context.seed).tolist()
        panels = history_panels(first, coordinates, [LEARNED, BEGUN])
        return Reproduction(
            self.figure,
            {},
            records,
            judge_claims(CRITERIA[self.figure], records),
            lambda: draw_histories(panels),
            setup.to_json(record),
        )


EXPERIMENTS = [Figure10()]


def _measure(setup: Setup) -> tuple[Histories, Mapping[str, Record]]:
    """Return the histories of the first trajectory, and the measurements of all of them."""
    first: Histories | None = None
    values: defaultdict[str, defaultdict[str, list[float]]]
    values = defaultdict(lambda: defaultdict(list))
    for key in setup.keys:
        where = scene(setup.problem, key)
        seen = histories(setup.optimizers, where, num_steps=setup.num_steps)
        first = first or seen  # only the first is drawn; all are measured
        columns = live(seen.gradients)
        for name, updates in seen.updates.items():
            g, slope = updates[:, columns], seen.gradients[:, columns]
            values[SIZE][name].append(size(g))
            values[CARRY][name].append(carried_on(g, slope))
            values[TIME_SCALE][name].append(time_scale(g))
        values["tenth"][LEARNED].append(float(final_loss(seen.losses)))
        for name in (BEGUN, "sgd"):
            # This rule has its own trajectory, from the same θ₀ and with the same minibatches.
            own = histories({name: setup.optimizers[name]}, where, num_steps=setup.num_steps)
            values["tenth"][name].append(float(final_loss(own.losses)))
    assert first is not None
    return first, record_by(setup.num_steps, values)
