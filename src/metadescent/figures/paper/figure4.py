"""Figure 4: the learned optimizer against tuned hand-designed ones, where it was trained.

What the paper shows, with the levels read off its plots (± 15 %):

    left     ‖Wθ − y‖², 10 dimensions, 100 steps (section 3.1). At step 100: LSTM .04, Adam .05,
             RMSprop .06, NAG .085, SGD .2.
    center   training an MLP 784-20-10 on MNIST for 100 steps (section 3.2). At step 100: LSTM .25;
             Adam, RMSprop and NAG .33; SGD .45.
    right    the same optimizer on for another 100 steps. At step 200: LSTM .22; Adam, RMSprop and
             NAG .28; SGD .33.

The text draws W and y from a Gaussian, but the levels of the left plot are those of the uniform
entries of the authors' code. Panel "left" takes the text at its word, "left-uniform" the code.

The paper leaves open how much is much. Here, to outperform "substantially" or "by a significant
margin" is to reach at most `MARGIN` times the loss of the best baseline, SGD included, with 95 %
intervals that do not touch; four fifths is what the plots show (.04 to .05, .25 to .33). "Roughly
equivalent" are losses within a factor `EQUIVALENT` of each other: less than what sets SGD apart in
the center plot (.45 to .33). Baselines are tuned for the final loss at the horizon that they are
run for: to the right 200 steps, though the optimizer was meta-trained for 100.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper import Claim, Load, Reproduction, budget_of
from metadescent.figures.paper.judge import outperforms, score, split, tenth, what
from metadescent.figures.paper.panels import Setting, run

if TYPE_CHECKING:
    import matplotlib.figure

FIGURE = "figure4"
MARGIN = 0.8
EQUIVALENT = 1.25

SETTINGS = {
    "left": Setting(
        problem="quadratic",
        optimizer="quadratic-lstm",
        num_steps=100,
        seeds="functions",
        title="Quadratics, Gaussian W and y",
        y_label="Loss",
    ),
    "left-uniform": Setting(
        problem="quadratic-uniform",
        optimizer="quadratic-uniform-lstm",
        num_steps=100,
        seeds="functions",
        title="Quadratics, uniform W and y",
        y_label="Loss",
    ),
    "center": Setting(
        problem="mnist",
        optimizer="mnist-lstm",
        num_steps=100,
        seeds="networks",
        title="MNIST",
        y_label="Loss (nats)",
    ),
    "right": Setting(
        problem="mnist",
        optimizer="mnist-lstm",
        num_steps=200,
        seeds="networks",
        title="MNIST, beyond the training horizon",
        y_label="Loss (nats)",
    ),
}

UNITS = sum(setting.reports for setting in SETTINGS.values())
OPTIMIZERS = tuple(dict.fromkeys(setting.optimizer for setting in SETTINGS.values()))


def reproduce(
    budget: str = "cpu",
    *,
    load: Load,
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Run the four panels and judge the paper's claims.

    Arguments:
        budget: "smoke", "cpu" or "paper".
        load: returns "quadratic-lstm", "quadratic-uniform-lstm" and "mnist-lstm"; each is asked for
            once.
        data_dir: the folder that holds MNIST, if not the usual one.
        seed: draws the problems, and those that baselines are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is going on.

    Raises:
        UserError: if there is no such budget, or data is missing.

    Source: sections 3.1 and 3.2, figure 4.
    """
    effort = budget_of(budget)
    learned = {name: load(name) for name in OPTIMIZERS}
    panels = run(
        SETTINGS, learned, effort, data_dir=data_dir, seed=seed, cache=cache, progress=progress
    )
    return Reproduction(FIGURE, panels, judge(panels), lambda: plot(panels))


def judge(panels: Mapping[str, Comparison]) -> list[Claim]:
    """Return what the paper claims about figure 4, judged on measured panels.

    The final loss is that of the last step where f is exact and the mean over the last tenth of the
    steps where minibatches estimate it. Curves that are not finite never support a claim.

    Source: sections 3.1 and 3.2, and the caption of figure 4.
    """
    center, right = panels["center"], panels["right"]
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


def plot(panels: Mapping[str, Comparison]) -> "matplotlib.figure.Figure":
    """Draw the four panels; the last shows the second half of its steps, as the paper does."""
    return draw_curves(
        [
            Panel(
                panels[name].curves,
                title=setting.title,
                y_label=setting.y_label,
                first_step=panels[name].steps // 2 + 1 if name == "right" else 1,
                labels={setting.optimizer: "LSTM"},
            )
            for name, setting in SETTINGS.items()
        ]
    )


def _equivalent(comparison: Comparison, last: int) -> Claim:
    _, baselines = split(comparison)
    losses = [score(baselines[name], last).value for name in ("nag", "adam", "rmsprop")]
    ratio = float(np.max(losses) / np.min(losses))
    return Claim(
        '"NAG, ADAM, and RMSprop exhibit roughly equivalent performance": the ratio of the worst '
        f"to the best of the three by {what(comparison.steps, last)}, against the largest that "
        "counts as equivalent; holds if it is no larger",
        "3.2",
        ratio,
        EQUIVALENT,
        ratio <= EQUIVALENT,
    )


def _continues(comparison: Comparison) -> Claim:
    learned, baselines = split(comparison)
    half = comparison.steps // 2
    best = np.fmin.reduce([curve.mean[half:] for curve in baselines.values()])
    ratio = float(np.max(learned.mean[half:] / best))
    return Claim(
        '"the LSTM optimizer continues to outperform the baseline optimizers": the largest ratio, '
        f"over steps {half + 1}–{comparison.steps}, of the LSTM's mean loss to that of the best "
        "baseline at that step, against one; holds if it is less",
        "3.2",
        ratio,
        1.0,
        ratio < 1.0,
    )
