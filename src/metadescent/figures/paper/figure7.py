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

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import Curve, ratio
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper.claims import Claim, describe, outperforms, rivals, score, tenth
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.panels import LearningCurves, Setting

if TYPE_CHECKING:
    import matplotlib.figure

LSTM, SUB, PLAIN = "cifar10-lstm", "cifar10-lstm-sub", "cifar10-plain-lstm"
STEPS = 1000
# How much of the best baseline's loss is little enough to speak of learning much more quickly.
MARGINS = {"cifar10": 0.95, "cifar5": 0.9, "cifar2": 0.9}


def _setting(name: str, title: str, beside: str) -> Setting:
    return Setting(
        f"{name}(batches=(1, 2, 3, 4))",
        LSTM,
        STEPS,
        "convolutions",
        title,
        "Loss (nats)",
        beside=(beside,),
        held_out=f"{name}(batches=(5,), batch_size=512)",
    )


SETTINGS = {
    "cifar10": _setting("cifar10", "CIFAR-10", PLAIN),
    "cifar5": _setting("cifar5", "CIFAR-5", SUB),
    "cifar2": _setting("cifar2", "CIFAR-2", SUB),
}


def _judge(panels: Panels) -> list[Claim]:
    """Return what the paper claims about figure 7 in section 3.3."""
    quickly = '"the LSTM optimizer learns much more quickly than the baseline optimizers"'
    unseen, claims = "held-out images, all the way", []
    for name, setting in SETTINGS.items():
        # A claim is about one learned optimizer.
        alone = _with(LSTM, panels[name])
        held_out = _held_out(alone)
        title, last = setting.title, tenth(alone.steps)
        claims += [
            outperforms(f"{quickly} ({title})", "3.3", alone, last, MARGINS[name]),
            outperforms(f"{quickly} ({title}, all the way)", "3.3", alone, alone.steps),
            outperforms(f"{quickly} ({title}, {unseen})", "3.3", held_out, held_out.steps),
        ]
    return [
        *claims,
        _boost(panels, "cifar5", "cifar10"),
        _boost(panels, "cifar2", "cifar5"),
        *(_hardly_effected(panels[name], SETTINGS[name].title) for name in ("cifar5", "cifar2")),
    ]


def _with(optimizer: str, panel: Comparison) -> Comparison:
    """Return a comparison with one of its learned optimizers alone."""

    def kept(curves: Mapping[str, Curve]) -> dict[str, Curve]:
        return {n: c for n, c in curves.items() if n == optimizer or c.rate is not None}

    return panel._replace(curves=kept(panel.curves), held_out=kept(panel.held_out))


def _held_out(panel: Comparison) -> Comparison:
    """Return the comparison of losses on held-out images, a step being `every` of them."""
    steps = panel.steps // panel.every
    return panel._replace(curves=dict(panel.held_out), steps=steps)


def _boost(panels: Panels, small: str, large: str) -> Claim:
    """Judge that the gain over the best baseline is larger on fewer labels."""

    def gain(name: str) -> float:
        panel = _with(LSTM, panels[name])
        ours, best = rivals(panel, tenth(panel.steps))
        return float(ratio(ours.value, best.value))

    few, many = gain(small), gain(large)
    steps = panels[small].steps
    return Claim(
        '"with significant boosts in performance for the CIFAR-5 and especially CIFAR-2 datasets": '
        f"the LSTM's {describe(steps, tenth(steps))} in units of the best baseline's, on "
        f"{SETTINGS[small].title} against {SETTINGS[large].title}; holds if it is less",
        "3.3",
        few,
        many,
        bool(0 < few < many < np.inf),  # NaN fails every comparison
    )


def _hardly_effected(panel: Comparison, title: str) -> Claim:
    """Judge that LSTM-sub has at most a twentieth more final loss than the LSTM."""
    last = tenth(panel.steps)
    ours, theirs = score(panel.curves[SUB], last).value, score(panel.curves[LSTM], last).value
    return Claim(
        '"the optimizers trained only on a disjoint subset of the data is hardly effected by this '
        f"difference\" ({title}): {describe(panel.steps, last)}, LSTM-sub's against the LSTM's; "
        "holds if it is at most 1.05 times as much",
        "3.3",
        ours,
        theirs,
        bool(np.isfinite(theirs) and ours <= 1.05 * theirs),
    )


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
            {n: _in_blocks(curve, measured.every) for n, curve in measured.curves.items()},
            "minibatches",
        )
        for name, measured in panels.items()
    ]
    return draw_curves([*above, *below], columns=3)


def _in_blocks(curve: Curve, every: int) -> Curve:
    """Average over blocks of steps; so are intervals, which makes none too narrow."""
    mean, low, high = (values.reshape(-1, every).mean(1) for values in curve[:3])
    return Curve(mean, low, high, curve.rate)


EXPERIMENTS = [
    LearningCurves("figure7", SETTINGS, _judge, _draw, one_by_one=True, keeps_searches=True)
]
