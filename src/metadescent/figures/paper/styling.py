"""What the experiments on neural art share: their problems, and learning curves on them.

Photographs are those of the test split, each of them once before one comes again; baselines are
tuned on those of the validation split, which the optimizer was chosen by. What is charged are
gradients: L-BFGS, whose line search takes several a step, makes fewer steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from metadescent._spec import call
from metadescent.descent.comparison import Comparison
from metadescent.descent.tuning_cache import Progress
from metadescent.figures.curves import Panel, draw_curves
from metadescent.figures.paper import Claim, Load, Reproduction, budget_of
from metadescent.figures.paper.kept import FOLDER
from metadescent.figures.paper.panels import BASELINES, Kind, Setting, run

if TYPE_CHECKING:
    import matplotlib.figure

OPTIMIZERS = {"squeezenet": "neural-art-lstm", "vgg19": "neural-art-lstm-vgg19"}
"""The optimizer that was trained on the features of each network."""
STEPS = 128
TRAINED = {"net": "squeezenet", "style": "starry_night", "size": 64}
"""What the problem is by default, which is what the optimizers were trained on."""
TITLES = {
    "starry_night": "The Starry Night",
    "great_wave": "The Great Wave",
    "composition_vii": "Composition VII",
    "the_scream": "The Scream",
    "shipwreck_minotaur": "Shipwreck",
}


def setting(
    seeds: Kind, style: str = "starry_night", size: int = 64, net: str = "squeezenet"
) -> Setting:
    """Return the panel of a style and a size.

    Example:
        >>> found = setting("pictures", "great_wave", 128)
        >>> found.problem
        "neural-art(style='great_wave', size=128, split='test', each=True)"
        >>> found.title
        'The Great Wave, 128 × 128'
    """
    chosen = {"net": net, "style": style, "size": size}
    changed = {name: value for name, value in chosen.items() if value != TRAINED[name]}

    def problem(split: str) -> str:
        return call("neural-art", changed | {"split": split, "each": True})

    return Setting(
        problem("test"),
        OPTIMIZERS[net],
        STEPS,
        seeds,
        f"{TITLES[style]}, {size} × {size}",
        "Loss",
        (*BASELINES, "lbfgs"),
        tuned_on=problem("validation"),
    )


@dataclass(frozen=True)
class Styling:
    """An experiment of panels of learning curves, each with one learned optimizer.

    `judge` returns what is claimed of the panels, given by name.
    """

    FIGURE: str
    SETTINGS: Mapping[str, Setting]
    judge: Callable[[Mapping[str, Comparison]], list[Claim]]

    @property
    def OPTIMIZERS(self) -> tuple[str, ...]:  # noqa: N802
        """Return the learned optimizers, each once."""
        return tuple(dict.fromkeys(one.optimizer for one in self.SETTINGS.values()))

    @property
    def UNITS(self) -> int:  # noqa: N802
        """Return the number of progress reports."""
        return sum(one.reports for one in self.SETTINGS.values())

    @property
    def KEPT(self) -> Path:  # noqa: N802
        """Return the file of the searches for rates that are kept with the experiment."""
        return FOLDER / f"{self.FIGURE}.json"

    def reproduce(
        self,
        budget: str = "cpu",
        *,
        load: Load,
        data_dir: str | Path | None = None,
        seed: int = 0,
        cache: Path | None = None,
        progress: Progress = lambda _: None,
    ) -> Reproduction:
        """Run the panels and judge what is claimed of them.

        Arguments:
            budget: "smoke", "cpu" or "paper".
            load: returns an optimizer by name; it is asked for each of `OPTIMIZERS` once.
            data_dir: the folder that holds networks, photographs and styles, if not the usual one.
            seed: draws θ₀ and the problems that baselines are tuned on.
            cache: folder where the tuned rates are kept and looked up; none if not given.
            progress: is told what is going on.

        Raises:
            UserError: if there is no such budget, or data is missing.

        Source: section 3.4, figure 8.
        """
        effort = budget_of(budget)
        learned = {name: load(name) for name in self.OPTIMIZERS}
        panels: dict[str, Comparison] = {}
        for name, one in self.SETTINGS.items():
            panels |= run(
                {name: one},
                learned,
                effort,
                data_dir=data_dir,
                seed=seed,
                cache=cache,
                progress=progress,
                kept=self.KEPT,
            )
            jax.clear_caches()
        return Reproduction(self.FIGURE, panels, self.judge(panels), lambda: self.plot(panels))

    def plot(self, panels: Mapping[str, Comparison]) -> "matplotlib.figure.Figure":
        """Draw the panels."""
        labels = dict.fromkeys(self.OPTIMIZERS, "LSTM")
        return draw_curves(
            [
                Panel(
                    panels[name].curves,
                    title=one.title,
                    y_label=one.y_label,
                    labels=labels,
                    x_label="Gradients evaluated",
                )
                for name, one in self.SETTINGS.items()
            ]
        )
