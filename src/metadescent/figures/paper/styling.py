"""Problems and learning curves of the experiments on neural art.

Photographs are those of the test split; each is used once before any is repeated. Baselines are
tuned on those of the validation split, by which the optimizer was chosen. Gradients are counted
instead of steps: L-BFGS, whose line search takes several gradients a step, makes fewer steps.
"""

from collections.abc import Mapping, Sequence

from metadescent._spec import Call
from metadescent.descent.baselines import STANDARD
from metadescent.figures.paper.budgets import Kind
from metadescent.figures.paper.criterion import Criterion
from metadescent.figures.paper.panels import LearningCurves, Setting

# For each network, the optimizer that was trained on its features.
OPTIMIZERS = {"squeezenet": "neural-art-lstm", "vgg19": "neural-art-lstm-vgg19"}
STEPS = 128
# The problem's defaults, on which the optimizers were trained.
TRAINED = {"net": "squeezenet", "style": "starry_night", "size": 64}
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
    """Return the panel of a style and a size."""
    chosen = {"net": net, "style": style, "size": size}
    # A problem's name only has values that differ from the defaults.
    changed = {name: value for name, value in chosen.items() if value != TRAINED[name]}

    def problem(split: str) -> str:
        # "each": every photograph of the split is used once before any is repeated.
        return str(Call("neural-art", changed | {"split": split, "each": True}))

    return Setting(
        problem("test"),
        OPTIMIZERS[net],
        STEPS,
        seeds,
        f"{TITLES[style]}, {size} × {size}",
        "Loss",
        (*STANDARD, "lbfgs"),
        tuned_on=problem("validation"),
        x_label="Gradients evaluated",
    )


def of_neural_art(
    figure: str, settings: Mapping[str, Setting], criteria: Sequence[Criterion]
) -> LearningCurves:
    """Return an experiment on neural art."""
    return LearningCurves(figure, settings, criteria, one_by_one=True)
