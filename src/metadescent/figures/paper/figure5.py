"""Figure 5: the optimizer learned on one network, on three that it was not meta-trained for.

`mnist-lstm` was meta-trained on an MLP 784-20-10 with sigmoids. The paper (section 3.2,
"Generalization to different architectures") changes one thing each time, for 100 steps: 40 hidden
units instead of 20, two hidden layers instead of one, ReLU instead of sigmoid.

Panel "40-units-200" is ours: it runs the optimizer for twice its horizon, too. Baselines are tuned
for each panel's own problem and horizon. The LSTM outperforms them if its final loss is less than
each baseline's. It no longer generalizes if its loss is more than that of one of them, although it
is less than each with 40 sigmoid units.
"""

from metadescent.figures.paper.criteria import CRITERIA
from metadescent.figures.paper.panels import LearningCurves, Setting


def _setting(problem: str, title: str) -> Setting:
    return Setting(problem, "mnist-lstm", 100, "networks", title, "Loss (nats)")


SETTINGS = {
    "40-units": _setting("mnist-40", "MNIST, 40 hidden units"),
    "40-units-200": _setting("mnist-40", "MNIST, 40 hidden units, beyond the horizon")._replace(
        num_steps=200, second_half=True
    ),
    "2-layers": _setting("mnist-2-layers", "MNIST, 2 hidden layers"),
    "relu": _setting("mnist-relu", "MNIST, ReLU"),
}
EXPERIMENTS = [LearningCurves("figure5", SETTINGS, CRITERIA["figure5"])]
