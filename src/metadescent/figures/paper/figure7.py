"""Figure 7: a convolutional network on CIFAR-10 and on subsets of its labels.

`cifar10-lstm` is two rules with an LSTM in each, one for convolutional layers and one for the
others; `cifar10-lstm-sub`, the paper's *LSTM-sub*, is the same, meta-trained on labels that neither
of the subsets here has; `cifar10-plain-lstm` is the paper's plain recipe. docs/cifar10.md says what
was learned and what was chosen by hand. Panels are all ten labels (with the plain recipe), CIFAR-5
(labels 0 to 4) and CIFAR-2 (0 and 1), with baselines tuned for each.

The optimizee learns from training batches 1 to 4 of CIFAR-10; batch 5 is held out: nothing learns
from it. (The paper has "a held-out test set", and does not say which labels its subsets have.)
Batch normalization has the means and variances of the very images that f is evaluated on.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from metadescent.descent.curves import Curve, apart, blown_up, summarize
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper.criteria import CIFAR, CRITERIA, LSTM, SUB
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.panels import LearningCurves, Setting

if TYPE_CHECKING:
    import matplotlib.figure

PLAIN = "cifar10-plain-lstm"
STEPS = 1000


def _setting(name: str, beside: str) -> Setting:
    return Setting(
        f"{name}(batches=(1, 2, 3, 4))",
        LSTM,
        STEPS,
        "convolutions",
        CIFAR[name],
        "Loss (nats)",
        beside=(beside,),
        same_start=(SUB,),
        held_out=f"{name}(batches=(5,), batch_size=512)",
    )


SETTINGS = {
    "cifar10": _setting("cifar10", PLAIN),
    "cifar5": _setting("cifar5", SUB),
    "cifar2": _setting("cifar2", SUB),
}


def _draw(panels: Panels) -> "matplotlib.figure.Figure":
    """Draw the three panels: held-out images above, training minibatches below."""
    labels = {LSTM: "LSTM", SUB: "LSTM-sub", PLAIN: "LSTM, plain recipe"}

    def panel(name: str, curves: Mapping[str, Curve], data: str) -> Panel:
        title = f"{SETTINGS[name].title}, {data}"
        return SETTINGS[name].panel(curves, title=title, labels=labels, every=panels[name].every)

    above = [panel(name, measured.held_out, "held out") for name, measured in panels.items()]
    # Each point is the mean over as many steps as lie between two points above.
    below = [
        panel(
            name,
            {
                n: _in_blocks(measured.losses[n], measured.every, curve.rate)
                for n, curve in measured.curves.items()
            },
            "minibatches",
        )
        for name, measured in panels.items()
    ]
    return draw_curves([*above, *below], columns=3)


def _in_blocks(losses: Float[np.ndarray, "seeds steps"], every: int, rate: float | None) -> Curve:
    """Average every run over blocks of steps; of these means are the intervals."""
    means = losses[~apart(blown_up(losses))].reshape(-1, losses.shape[1] // every, every).mean(2)
    return summarize(means, rate)


EXPERIMENTS = [LearningCurves("figure7", SETTINGS, CRITERIA["figure7"], _draw, one_by_one=True)]
