"""Figure 5: the optimizer learned on one network, on three that it was not meta-trained for.

`mnist-lstm` was meta-trained on an MLP 784-20-10 with sigmoids. The paper (section 3.2,
"Generalization to different architectures") changes one thing each time, for 100 steps: 40 hidden
units instead of 20, two hidden layers instead of one, ReLU instead of sigmoid.

Panel "40-units-200" is not the paper's: it runs the optimizer for twice its horizon, too. Baselines
are tuned for each panel's own problem and horizon. The LSTM outperforms them if its final loss is
less than the best baseline's, and generalizes no longer if it is more. In both cases the 95 %
intervals must not touch.
"""

from metadescent.figures.paper.claims import Claim, falls_behind, outperforms, tenth
from metadescent.figures.paper.experiment import Panels
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


def _judge(panels: Panels) -> list[Claim]:
    """Return what the paper claims about figure 5 in section 3.2."""
    continues = (
        '"the LSTM optimizer generalizes well, and continues to outperform the hand-designed '
        'baselines despite operating outside of its training regime"'
    )
    fails = (
        '"changing the activation function to ReLU makes the dynamics of the learning procedure '
        'sufficiently different that the learned optimizer is no longer able to generalize"'
    )
    cases = {
        "40-units": "40 hidden units",
        "40-units-200": "40 hidden units, twice the steps",
        "2-layers": "2 hidden layers",
    }
    # Curves that are not finite do not even support that an optimizer fails: an error of ours
    # would look no different.
    relu = panels["relu"]
    return [
        outperforms(f"{continues} ({case})", "3.2", panels[name], tenth(panels[name].steps))
        for name, case in cases.items()
    ] + [falls_behind(fails, "3.2", relu, tenth(relu.steps))]


EXPERIMENTS = [LearningCurves("figure5", SETTINGS, _judge)]
