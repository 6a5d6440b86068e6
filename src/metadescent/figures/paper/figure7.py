"""Figure 7: a convolutional network on CIFAR-10 and on subsets of its labels.

The learned optimizer that leads is `cifar10-blend`: directions that are known, weighed and scaled
by a network that looks at each tensor. `cifar10-blend-sub` takes the place of the paper's
*LSTM-sub*: the same, meta-trained on labels that neither of the subsets here has. `general` was
meta-trained without CIFAR-10; one of its 34 networks is a small convolutional one, on digits.
`cifar10-plain-lstm` is what the paper has, two LSTMs that see gradients alone, one for the
convolutional layers and one for the others. Panels are all ten labels (with the paper's recipe),
CIFAR-5 (labels 0 to 4) and CIFAR-2 (0 and 1). The paper's baselines, of one rate, are tuned for
each and judge its claims. Beside all ten labels are NAG and AdamW, too, with rates that go down by
a tuned cosine.

The optimizee learns from training batches 1 to 4 of CIFAR-10; batch 5 is held out: nothing learns
from it. (The paper has "a held-out test set", and does not say which labels its subsets have.)
Batch normalization has the means and variances of the very images that f is evaluated on.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from metadescent.descent.baselines import STANDARD
from metadescent.descent.curves import Curve, apart, blown_up, summarize
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper.criteria import CIFAR, CIFAR10, CRITERIA, PLAIN, SUB
from metadescent.figures.paper.criterion import SCHEDULED
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.panels import LearningCurves, Setting

if TYPE_CHECKING:
    import matplotlib.figure

GENERAL = "general"
STEPS = 1000


def _setting(name: str, beside: tuple[str, ...], scheduled: tuple[str, ...] = ()) -> Setting:
    return Setting(
        f"{name}(batches=(1, 2, 3, 4))",
        CIFAR10,
        STEPS,
        "convolutions",
        CIFAR[name],
        "Loss (nats)",
        baselines=(*STANDARD, *scheduled),
        beside=beside,
        same_start=(SUB, GENERAL),
        held_out=f"{name}(batches=(5,), batch_size=512)",
    )


SETTINGS = {
    "cifar10": _setting("cifar10", (GENERAL, PLAIN), SCHEDULED),
    "cifar5": _setting("cifar5", (SUB,)),
    "cifar2": _setting("cifar2", (SUB,)),
}


def _draw(panels: Panels) -> "matplotlib.figure.Figure":
    """Draw the three panels: held-out images above, training minibatches below."""
    labels = {CIFAR10: "blend", SUB: "blend-sub", PLAIN: "LSTMs, the paper's recipe"}

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
