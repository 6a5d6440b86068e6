"""How far does a learned optimizer carry? No figure of the paper's, but the one that it calls for.

`mlp-robust-lstm` was meta-trained to carry; `mnist-lstm` is the paper's recipe, meta-trained on one
network for 100 steps. They train, beside baselines tuned for each very network and horizon,

    seen     the sigmoid MLP of figure 4, 40 units, 2 layers, ReLU, for 100 and for 1000 steps
    unseen   tanh, ELU, 3 layers, 160 units: networks that neither was meta-trained on, likewise
    long     the sigmoid MLP for 10,000 steps, beside Adam tuned for 10,000

What is claimed is ours, and it may fail: on what was seen to be no worse than the best baseline, on
what was not at most a tenth worse, at 10,000 steps at most a fifth worse than Adam.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper import Claim, Load, Reproduction, budget_of
from metadescent.figures.paper.judge import no_worse, tenth, within
from metadescent.figures.paper.panels import BASELINES, Setting, run

if TYPE_CHECKING:
    import matplotlib.figure

FIGURE = "transfer"
ROBUST, PAPER = OPTIMIZERS = ("mlp-robust-lstm", "mnist-lstm")

SEEN = {
    "mnist": "20 sigmoid units",
    "mnist-40": "40 sigmoid units",
    "mnist-2-layers": "2 layers",
    "mnist-relu": "20 ReLU units",
}
UNSEEN = {
    "mnist-tanh": "20 tanh units",
    "mnist-elu": "20 ELU units",
    "mnist-3-layers": "3 layers",
    "mnist-160": "160 sigmoid units",
}
HORIZONS = (100, 1000)
LONG = ("mnist", 10_000)


def _settings(
    optimizer: str, baselines: tuple[str, ...], long: tuple[str, ...]
) -> dict[tuple[str, int], Setting]:
    """Return the settings of one optimizer by problem and horizon, the long one last."""
    names = SEEN | UNSEEN

    def setting(problem: str, steps: int, baselines: tuple[str, ...]) -> Setting:
        title = f"{names[problem]}, {steps:,} steps"
        loss = "Loss (nats)"
        return Setting(problem, optimizer, steps, "sweeps", title, loss, baselines)

    found = {(p, steps): setting(p, steps, baselines) for steps in HORIZONS for p in names}
    return found | {LONG: setting(*LONG, long)}


SETTINGS = _settings(ROBUST, BASELINES, long=("adam",))
BESIDE = _settings(PAPER, (), long=())
"""The paper's recipe in the same settings; it needs no baselines of its own."""

UNITS = sum(setting.reports for each in (SETTINGS, BESIDE) for setting in each.values())


def reproduce(
    budget: str = "cpu",
    *,
    load: Load,
    data_dir: str | Path | None = None,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = lambda _: None,
) -> Reproduction:
    """Run every setting and judge our claims.

    Arguments:
        budget: "smoke", "cpu" or "paper".
        load: returns an optimizer by name; it is asked for each of `OPTIMIZERS` once.
        data_dir: the folder that holds MNIST, if not the usual one.
        seed: draws the problems, and those that baselines are tuned on.
        cache: folder where the tuned rates are kept and looked up; none if not given.
        progress: is told what is going on.

    Raises:
        UserError: if there is no such budget, or data is missing.
    """
    effort = budget_of(budget)
    learned = {name: load(name) for name in OPTIMIZERS}
    panels: dict[str, Comparison] = {}
    for (problem, steps), setting in SETTINGS.items():
        name = f"{problem}-{steps}"
        both = run(
            {name: setting, f"{name}-paper": BESIDE[problem, steps]},
            learned,
            effort,
            data_dir=data_dir,
            seed=seed,
            cache=cache,
            progress=progress,
        )
        panels |= both
        # As in figure 6: all programs together have more memory maps than Linux gives a process.
        jax.clear_caches()
    return Reproduction(FIGURE, panels, judge(panels), lambda: plot(panels))


def judge(panels: Mapping[str, Comparison]) -> list[Claim]:
    """Return what we claim of `mlp-robust-lstm`, judged on measured panels.

    The final loss is the mean over the last tenth of the steps, as minibatches estimate f. Curves
    that are not finite never support a claim.
    """
    claims = []
    for (problem, steps), setting in SETTINGS.items():
        panel = panels[f"{problem}-{steps}"]
        arguments = f"{ROBUST}, {setting.title}", "ours", panel, tenth(panel.steps)
        if (problem, steps) == LONG:
            claims.append(within(*arguments, margin=1.2))
        elif problem in SEEN:
            claims.append(no_worse(*arguments))
        else:
            claims.append(within(*arguments, margin=1.1))
    return claims


def plot(panels: Mapping[str, Comparison]) -> "matplotlib.figure.Figure":
    """Draw the longer horizons: 1000 steps on every network, and 10,000."""
    labels = {ROBUST: "robust LSTM", PAPER: "LSTM of the paper's recipe"}
    return draw_curves(
        [
            Panel(
                panels[f"{problem}-{steps}"].curves | panels[f"{problem}-{steps}-paper"].curves,
                title=setting.title,
                y_label=setting.y_label,
                labels=labels,
            )
            for (problem, steps), setting in SETTINGS.items()
            if steps > HORIZONS[0]
        ]
    )
