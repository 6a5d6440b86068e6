"""Figure 6: final loss on MNIST as the number of hidden units and the number of layers vary.

`mnist-lstm` trains networks of one to three hidden layers of 5 to 160 units, with sigmoids, for 100
steps; the text does not say which the paper's own figure has. Baselines are tuned at every point.

The paper does not say how similar test problems must be. Its claim is therefore judged four times:
within a factor of two of the units that the optimizer was meta-trained on, and over all units for
each number of layers. It holds if the LSTM has less final loss than the best baseline at every
point, with 95 % intervals that do not touch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.figures.paper.claims import (
    Claim,
    learned_and_baselines,
    outperforms_throughout,
    score,
    tenth,
)
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.panels import LearningCurves, Setting
from metadescent.figures.sweeps import Sweep, Trend, draw_sweeps

if TYPE_CHECKING:
    import matplotlib.figure

LSTM = "mnist-lstm"
LAYERS = (1, 2, 3)
HIDDEN = (5, 10, 20, 40, 80, 160)
# Hidden units, in one layer, of the network that the optimizer was meta-trained on.
TRAINED_ON = 20


def _title(layers: int) -> str:
    return f"{layers} hidden layer{'s' if layers > 1 else ''}"


def _name(layers: int, hidden: int) -> str:
    return f"{layers}-layer{'s' if layers > 1 else ''}-{hidden}-units"


SETTINGS = {
    _name(layers, hidden): Setting(
        problem=f"mnist(hidden={(hidden,) * layers})",
        optimizer=LSTM,
        num_steps=100,
        seeds="sweeps",
        title=_title(layers),
        y_label="Final loss (nats)",
    )
    for layers in LAYERS
    for hidden in HIDDEN
}


def _judge(panels: Panels) -> list[Claim]:
    """Return what the paper claims about figure 6 in section 3.2."""
    better = (
        '"in this setting where the test-set problems are similar enough to those in the training '
        'set we see even better generalization than the baseline optimizers"'
    )
    # What is similar enough: within a factor of two.
    similar = [n for n in HIDDEN if TRAINED_ON <= 2 * n <= 4 * TRAINED_ON]
    return [
        _at(panels, better, layers, hidden)
        for layers, hidden in [(1, similar), *((layers, HIDDEN) for layers in LAYERS)]
    ]


def _at(panels: Panels, quotation: str, layers: int, hidden: Sequence[int]) -> Claim:
    points = {name: panels[name] for name in (_name(layers, n) for n in hidden)}
    last = tenth(next(iter(points.values())).steps)
    *others, most = hidden
    over = f"{', '.join(map(str, others))} and {most} units"
    return outperforms_throughout(f"{quotation} ({_title(layers)})", "3.2", points, over, last)


def _draw(panels: Panels) -> "matplotlib.figure.Figure":
    """Draw final loss against hidden units, for each number of layers."""
    # As in the paper, lines show the network that the optimizer was meta-trained on, and its final
    # loss there.
    trained_on = panels[_name(1, TRAINED_ON)]
    level = score(learned_and_baselines(trained_on)[0], tenth(trained_on.steps)).value
    return draw_sweeps(
        [
            Sweep(
                HIDDEN,
                _trends([panels[_name(layers, hidden)] for hidden in HIDDEN]),
                title=_title(layers),
                x_label="Hidden units per layer",
                y_label="Final loss (nats)",
                vertical=TRAINED_ON if layers == 1 else None,
                horizontal=level,
                labels={LSTM: "LSTM"},
            )
            for layers in LAYERS
        ]
    )


def _trends(points: Sequence[Comparison]) -> dict[str, Trend]:
    last = tenth(points[0].steps)
    trends = {}
    for name, curve in points[0].curves.items():
        scores = np.asarray([score(point.curves[name], last) for point in points])
        trends[name] = Trend(*scores.T, learned=curve.rate is None)
    return trends


EXPERIMENTS = [LearningCurves("figure6", SETTINGS, _judge, _draw, one_by_one=True)]
