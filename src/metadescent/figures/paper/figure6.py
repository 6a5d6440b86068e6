"""Figure 6: final loss on MNIST as the number of hidden units and the number of layers vary.

`mnist-lstm` trains networks with one to three hidden layers of 5 to 160 units, with sigmoids, for
100 steps; the text does not say which networks the paper's figure has. Baselines are tuned at every
point.

The paper does not say how similar test problems must be. Its claim is therefore judged four times:
within a factor of two of the units that the optimizer was meta-trained on, and over all units for
each number of layers. It holds if the LSTM has less final loss than each baseline at every point.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.networks import HIDDEN, LAYERS, TRAINED_ON, layers_of, panel_name
from metadescent.figures.paper.panels import LearningCurves, Setting
from metadescent.figures.paper.records import Record, mean_run, record_of
from metadescent.figures.sweeps import Sweep, Trend, draw_sweeps

if TYPE_CHECKING:
    import matplotlib.figure

LSTM = "mnist-lstm"
SETTINGS = {
    panel_name(layers, hidden): Setting(
        problem=f"mnist(hidden={(hidden,) * layers})",
        optimizer=LSTM,
        num_steps=100,
        seeds="sweeps",
        title=layers_of(layers),
        y_label="Final loss (nats)",
    )
    for layers in LAYERS
    for hidden in HIDDEN
}


def _draw(panels: Panels) -> "matplotlib.figure.Figure":
    """Draw final loss against hidden units, for each number of layers."""
    records = {name: record_of(panel) for name, panel in panels.items()}
    # As in the paper, lines mark the network that the optimizer was meta-trained on, and its final
    # loss there.
    trained_on = records[panel_name(1, TRAINED_ON)]
    level, *_ = mean_run(trained_on, "tenth", trained_on.learned[0])
    return draw_sweeps(
        [
            Sweep(
                HIDDEN,
                _trends(panels, [records[panel_name(layers, hidden)] for hidden in HIDDEN]),
                title=layers_of(layers),
                x_label="Hidden units per layer",
                y_label="Final loss (nats)",
                vertical=TRAINED_ON if layers == 1 else None,
                horizontal=level,
                labels={LSTM: "LSTM"},
            )
            for layers in LAYERS
        ]
    )


def _trends(panels: Panels, points: Sequence[Record]) -> dict[str, Trend]:
    return {
        name: Trend(
            *np.transpose([mean_run(point, "tenth", name) for point in points]),
            learned=curve.rate is None,
        )
        for name, curve in next(iter(panels.values())).curves.items()
    }


EXPERIMENTS = [LearningCurves("figure6", SETTINGS, CRITERIA["figure6"], _draw, one_by_one=True)]
