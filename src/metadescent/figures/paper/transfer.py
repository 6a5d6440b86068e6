"""How far a learned optimizer carries: a figure of our own, which the paper does not have.

`mlp-robust-lstm` was meta-trained to generalize; `mnist-lstm` is the paper's recipe, meta-trained
on one network for 100 steps. They are compared with baselines tuned for each network and horizon:

    seen     the sigmoid MLP of figure 4, 40 units, 2 layers, ReLU, for 100 and for 1000 steps
    unseen   tanh, ELU, 3 layers, 160 units: networks that neither was meta-trained on, likewise
    long     the sigmoid MLP for 10,000 steps, beside Adam tuned for 10,000

The claims are ours, and may fail: the loss is no worse than each baseline's (at most a twentieth
more) on networks that were seen, at most a tenth worse on the others, and at most a fifth worse
than Adam's at 10,000 steps.
"""

from typing import TYPE_CHECKING

from metadescent.descent.baselines import STANDARD
from metadescent.figures.curves import draw_curves
from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.networks import CASES, HORIZONS, LONG, SEEN, UNSEEN
from metadescent.figures.paper.panels import LearningCurves, Setting

if TYPE_CHECKING:
    import matplotlib.figure

ROBUST, PAPER = "mlp-robust-lstm", "mnist-lstm"


def _settings() -> dict[str, Setting]:
    """Return the settings of every case: the robust optimizer's, then the paper's recipe's."""
    settings = {}
    for problem, steps in CASES:
        name = f"{problem}-{steps}"
        settings[name] = Setting(
            problem,
            ROBUST,
            steps,
            "sweeps",
            f"{(SEEN | UNSEEN)[problem]}, {steps:,} steps",
            "Loss (nats)",
            ("adam",) if (problem, steps) == LONG else STANDARD,
        )
        # The baselines are the same, so they are not run again.
        settings[f"{name}-paper"] = settings[name]._replace(optimizer=PAPER, baselines=())
    return settings


SETTINGS = _settings()


def _draw(panels: Panels) -> "matplotlib.figure.Figure":
    """Draw the longer horizons: 1000 steps on every network, and 10,000."""
    labels = {ROBUST: "robust LSTM", PAPER: "LSTM of the paper's recipe"}
    names = [f"{problem}-{steps}" for problem, steps in CASES if steps > HORIZONS[0]]
    return draw_curves(
        [
            SETTINGS[name].panel(
                panels[name].curves | panels[f"{name}-paper"].curves, labels=labels
            )
            for name in names
        ]
    )


EXPERIMENTS = [LearningCurves("transfer", SETTINGS, CRITERIA["transfer"], _draw, one_by_one=True)]
