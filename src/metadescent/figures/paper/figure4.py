"""Figure 4: the learned optimizer against tuned hand-designed ones, where it was trained.

What the paper shows, with the levels read off its plots (± 15 %):

    left     ‖Wθ − y‖², 10 dimensions (section 3.1). At step 100: LSTM .04, Adam .05, RMSprop .06,
             NAG .085, SGD .2.
    center   an MLP 784-20-10 on MNIST (section 3.2). At step 100: LSTM .25; Adam, RMSprop and NAG
             .33; SGD .45.
    right    on for another 100 steps. At step 200: LSTM .22; Adam, RMSprop and NAG .28; SGD .33.

The text draws W and y from a Gaussian, but the levels of the left plot are those of the uniform
entries of the authors' code. Panel "left" follows the text, "left-uniform" the code.

To outperform "substantially" or "by a significant margin" is here to reach at most `MARGIN` times
the loss of the best baseline with 95 % intervals that do not touch, as the plots show (.04 to .05,
.25 to .33). "Roughly equivalent" are losses within a factor `EQUIVALENT`: less than what sets SGD
apart in the center plot. Baselines are tuned for the horizon that they are run for.
"""

import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.descent.curves import ratio
from metadescent.figures.paper.claims import (
    Claim,
    describe,
    learned_and_baselines,
    outperforms,
    score,
    tenth,
)
from metadescent.figures.paper.experiment import Panels
from metadescent.figures.paper.panels import LearningCurves, Setting

MARGIN = 0.8  # is substantial
EQUIVALENT = 1.25  # the largest ratio that is roughly one

SETTINGS = {
    "left": Setting(
        "quadratic", "quadratic-lstm", 100, "functions", "Quadratics, Gaussian W and y", "Loss"
    ),
    "left-uniform": Setting(
        "quadratic-uniform",
        "quadratic-uniform-lstm",
        100,
        "functions",
        "Quadratics, uniform W and y",
        "Loss",
    ),
    "center": Setting("mnist", "mnist-lstm", 100, "networks", "MNIST", "Loss (nats)"),
    "right": Setting(
        "mnist",
        "mnist-lstm",
        200,
        "networks",
        "MNIST, beyond the training horizon",
        "Loss (nats)",
        second_half=True,  # as in the paper
    ),
}


def _judge(panels: Panels) -> list[Claim]:
    """Return what the paper claims about figure 4 in sections 3.1, 3.2 and its caption."""
    center, right = panels["center"], panels["right"]
    # f is exact to the left, where the last step decides; elsewhere minibatches estimate it.
    last = tenth(center.steps)
    substantially = '"the learned optimizers substantially outperform the baselines"'
    significant = '"the LSTM optimizer outperforms them by a significant margin"'
    standard = (
        '"the LSTM optimizer outperforms standard methods training the base network on MNIST"'
    )
    return [
        outperforms(f"{substantially} (Gaussian W and y)", "3.1", panels["left"], 1, MARGIN),
        outperforms(f"{substantially} (uniform W and y)", "3.1", panels["left-uniform"], 1, MARGIN),
        _equivalent(center, last),
        outperforms(significant, "3.2", center, last, MARGIN),
        outperforms(significant, "3.2", center, center.steps, MARGIN),
        outperforms(standard, "figure 4", center, last, 1.0),
        _continues(right),
    ]


def _equivalent(comparison: Comparison, last: int) -> Claim:
    _, baselines = learned_and_baselines(comparison)
    losses = [score(baselines[name], last).value for name in ("nag", "adam", "rmsprop")]
    spread = float(ratio(np.max(losses), np.min(losses)))
    return Claim(
        '"NAG, ADAM, and RMSprop exhibit roughly equivalent performance": the ratio of the worst '
        f"to the best of the three by {describe(comparison.steps, last)}, against the largest that "
        "counts as equivalent; holds if it is no larger",
        "3.2",
        spread,
        EQUIVALENT,
        spread <= EQUIVALENT,
    )


def _continues(comparison: Comparison) -> Claim:
    learned, baselines = learned_and_baselines(comparison)
    half = comparison.steps // 2
    # Of the baselines that have not diverged by then.
    best = np.fmin.reduce([curve.mean[half:] for curve in baselines.values()])
    largest = float(np.max(ratio(learned.mean[half:], best)))
    return Claim(
        '"the LSTM optimizer continues to outperform the baseline optimizers": the largest ratio, '
        f"over steps {half + 1}–{comparison.steps}, of the LSTM's mean loss to that of the best "
        "baseline at that step, against one; holds if it is less",
        "3.2",
        largest,
        1.0,
        largest < 1.0,
    )


EXPERIMENTS = [LearningCurves("figure4", SETTINGS, _judge)]
