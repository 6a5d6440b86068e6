"""Figure 6: final loss on MNIST as the number of hidden units and the number of layers vary.

`mnist-lstm` was meta-trained on one hidden layer of 20 units; here it trains networks of one, two
and three hidden layers of 5 to 160 units each, with sigmoids, for 100 steps. The text does not say
which numbers of units and layers the paper's own figure has. Every point is a comparison of its
own, with the rates of the baselines tuned anew for that very network.

The paper says of the figure: "in this setting where the test-set problems are similar enough to
those in the training set we see even better generalization than the baseline optimizers". How
similar is enough it leaves open. So the claim is judged four times: within a factor of two of the
units that the optimizer was meta-trained on, and over all units for each number of layers. It holds
where the LSTM has less final loss than the best baseline, SGD included, at every point, with 95 %
intervals that do not touch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.paper import Claim, Load, Reproduction, budget_of
from metadescent.figures.paper.judge import outperforms_throughout, score, split, tenth
from metadescent.figures.paper.panels import Setting, run
from metadescent.figures.sweeps import Sweep, Trend, draw_sweeps

if TYPE_CHECKING:
    import matplotlib.figure

FIGURE = "figure6"
OPTIMIZERS = ("mnist-lstm",)

LAYERS = (1, 2, 3)
HIDDEN = (5, 10, 20, 40, 80, 160)
TRAINED_ON = 20
"""Hidden units, in one layer, of the network that the optimizer was meta-trained on."""


def _title(layers: int) -> str:
    return f"{layers} hidden layer{'s' if layers > 1 else ''}"


def _name(layers: int, hidden: int) -> str:
    return f"{layers}-layer{'s' if layers > 1 else ''}-{hidden}-units"


SETTINGS = {
    _name(layers, hidden): Setting(
        problem=f"mnist(hidden={(hidden,) * layers})",
        optimizer=OPTIMIZERS[0],
        num_steps=100,
        seeds="sweeps",
        title=_title(layers),
        y_label="Final loss (nats)",
    )
    for layers in LAYERS
    for hidden in HIDDEN
}

UNITS = sum(setting.reports for setting in SETTINGS.values())


def reproduce(
    budget: str = "cpu",
    *,
    load: Load,
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Run every point and judge the paper's claim.

    Arguments:
        budget: "smoke", "cpu" or "paper".
        load: returns "mnist-lstm"; it is asked for once.
        data_dir: the folder that holds MNIST, if not the usual one.
        seed: draws the problems, and those that baselines are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is going on.

    Raises:
        UserError: if there is no such budget, or data is missing.

    Source: section 3.2, figure 6.
    """
    effort = budget_of(budget)
    learned = {name: load(name) for name in OPTIMIZERS}
    panels: dict[str, Comparison] = {}
    # One by one: each point holds the data, and its programs are of no use to the next. Together
    # they would take more memory maps than Linux gives a process.
    for name, setting in SETTINGS.items():
        panels |= run(
            {name: setting},
            learned,
            effort,
            data_dir=data_dir,
            seed=seed,
            cache=cache,
            progress=progress,
        )
        jax.clear_caches()
    return Reproduction(FIGURE, panels, judge(panels), lambda: plot(panels))


def judge(panels: Mapping[str, Comparison]) -> list[Claim]:
    """Return what the paper claims about figure 6, judged on measured points.

    The final loss is the mean over the last tenth of the steps, as minibatches estimate f. Curves
    that are not finite never support a claim.

    Source: section 3.2.
    """
    better = (
        '"in this setting where the test-set problems are similar enough to those in the training '
        'set we see even better generalization than the baseline optimizers"'
    )
    similar = [n for n in HIDDEN if TRAINED_ON <= 2 * n <= 4 * TRAINED_ON]
    return [
        _at(panels, better, layers, hidden)
        for layers, hidden in [(1, similar), *((layers, HIDDEN) for layers in LAYERS)]
    ]


def _at(
    panels: Mapping[str, Comparison], quotation: str, layers: int, hidden: Sequence[int]
) -> Claim:
    points = {name: panels[name] for name in (_name(layers, n) for n in hidden)}
    last = tenth(next(iter(points.values())).steps)
    *others, most = hidden
    over = f"{', '.join(map(str, others))} and {most} units"
    return outperforms_throughout(f"{quotation} ({_title(layers)})", "3.2", points, over, last)


def plot(panels: Mapping[str, Comparison]) -> "matplotlib.figure.Figure":
    """Draw final loss against hidden units, for each number of layers.

    As in the paper, the dashed vertical line in the first panel is the network that the optimizer
    was meta-trained on, and the horizontal line its final loss there.
    """
    trained_on = panels[_name(1, TRAINED_ON)]
    level = score(split(trained_on)[0], tenth(trained_on.steps)).value
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
                labels={OPTIMIZERS[0]: "LSTM"},
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
