"""Figure 5: the optimizer learned on one network, on three that it was not meta-trained for.

`mnist-lstm` was meta-trained on an MLP 784-20-10 with sigmoids, for 100 steps. What the paper shows
(section 3.2, "Generalization to different architectures"), each time changing one thing:

    left     40 hidden units instead of 20
    center   two hidden layers of 20 instead of one; "very hard, because the hidden layers are very
             narrow"
    right    ReLU instead of sigmoid

Of the horizon the text says "each optimization was run for 100 steps". Panel "40-units-200" is not
the paper's: it carries the optimizer to another network *and* to twice its horizon. Baselines are
tuned for each panel's own problem and horizon. To outperform them is to have less final loss than
the best, SGD included, with 95 % intervals that do not touch; to generalize no longer is to have
more, with intervals that do not touch either.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper import Claim, Load, Reproduction, budget_of
from metadescent.figures.paper.judge import falls_behind, outperforms, tenth
from metadescent.figures.paper.panels import Setting, run

if TYPE_CHECKING:
    import matplotlib.figure

FIGURE = "figure5"
OPTIMIZERS = ("mnist-lstm",)


def _setting(problem: str, title: str, num_steps: int = 100) -> Setting:
    return Setting(problem, OPTIMIZERS[0], num_steps, "networks", title, "Loss (nats)")


SETTINGS = {
    "40-units": _setting("mnist-40", "MNIST, 40 hidden units"),
    "40-units-200": _setting("mnist-40", "MNIST, 40 hidden units, beyond the horizon", 200),
    "2-layers": _setting("mnist-2-layers", "MNIST, 2 hidden layers"),
    "relu": _setting("mnist-relu", "MNIST, ReLU"),
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
    """Run the four panels and judge the paper's claims.

    Arguments:
        budget: "smoke", "cpu" or "paper".
        load: returns "mnist-lstm"; it is asked for once.
        data_dir: the folder that holds MNIST, if not the usual one.
        seed: draws the problems, and those that baselines are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is going on.

    Raises:
        UserError: if there is no such budget, or data is missing.

    Source: section 3.2, figure 5.
    """
    effort = budget_of(budget)
    learned = {name: load(name) for name in OPTIMIZERS}
    panels = run(
        SETTINGS, learned, effort, data_dir=data_dir, seed=seed, cache=cache, progress=progress
    )
    return Reproduction(FIGURE, panels, judge(panels), lambda: plot(panels))


def judge(panels: Mapping[str, Comparison]) -> list[Claim]:
    """Return what the paper claims about figure 5, judged on measured panels.

    The final loss is the mean over the last tenth of the steps, as minibatches estimate f. Curves
    that are not finite never support a claim, not even that an optimizer fails: an error of ours
    would look no different.

    Source: section 3.2.
    """
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
    relu = panels["relu"]
    return [
        outperforms(f"{continues} ({case})", "3.2", panels[name], tenth(panels[name].steps))
        for name, case in cases.items()
    ] + [falls_behind(fails, "3.2", relu, tenth(relu.steps))]


def plot(panels: Mapping[str, Comparison]) -> "matplotlib.figure.Figure":
    """Draw the four panels; the one beyond the horizon shows the second half of its steps."""
    return draw_curves(
        [
            Panel(
                panels[name].curves,
                title=setting.title,
                y_label=setting.y_label,
                first_step=panels[name].steps // 2 + 1 if name == "40-units-200" else 1,
                labels={setting.optimizer: "LSTM"},
            )
            for name, setting in SETTINGS.items()
        ]
    )
