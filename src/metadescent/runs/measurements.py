"""What was measured of a run, as rows of a table: the numbers that verdicts rest on."""

from collections.abc import Sequence

import numpy as np

from metadescent.descent.curves import final_loss
from metadescent.runs.checkup import Checkup

NONE = "–"


def measurements(checkup: Checkup) -> list[tuple[str, str]]:
    """Return names and values of all that is known of a run; a dash where something is not.

    What a run logs is that of its last epoch.

    Example:
        >>> from metadescent.runs.recipe import Recipe
        >>> line = {"gradient_norms": [1.0, 0.25], "clipped": 0.5}
        >>> measurements(Checkup(Recipe(), [line], None, 0.3))[0]
        ('meta-gradient norm, by segment', '1, 0.25')
    """
    line = checkup.metrics[-1] if checkup.metrics else {}
    step = line.get("phi_step")
    rows = [
        ("meta-gradient norm, by segment", _several(line.get("gradient_norms") or [])),
        (f"meta-gradients above the clip of {checkup.recipe.clip:g}", _share(line.get("clipped"))),
        ("change of φ a meta-step ÷ size of a fresh φ", _number(step and step / checkup.phi_scale)),
        ("update ÷ gradient", _number(line.get("update_ratio"))),
        ("preprocessed inputs that saturate", _share(line.get("saturated_inputs"))),
        ("size of h", _number(line.get("hidden"))),
        ("h within 5 % of ±1", _share(line.get("saturated_hidden"))),
        ("loss in the last segment, training", _number(line.get("training_end"))),
        ("loss in the last segment, validation", _number(line.get("validation_end"))),
        ("validation: best loss", _number(line.get("best_loss"))),
        ("validation: doing nothing", _number(line.get("start"))),
    ]
    return rows + _of_examination(checkup)


def _of_examination(checkup: Checkup) -> list[tuple[str, str]]:
    there = checkup.examination
    if there is None:
        return []
    horizon = there.rest.shape[1]
    mine, far = (None, None) if there.mine is None else (there.mine[:, :horizon], there.mine)
    odd = None if there.responses is None else there.responses[0]
    rate = NONE if there.rate is None else f"{there.rate:.3g}"
    beyond = f"loss after {0 if far is None else far.shape[1]} steps"
    return [
        ("share of the first update that turns round with ∇", _number(odd)),
        ("size of the first gradients", _number(there.gradient)),
        (f"loss at the horizon of {horizon} steps", _final(mine)),
        (f"loss of SGD there, rate {rate}", _final(there.sgd)),
        ("loss of doing nothing there", _final(there.rest)),
        *([(beyond, _final(far))] if far is not None else []),
    ]


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.3g} %"


def _several(values: Sequence[float], most: int = 6) -> str:
    """Write a few of many numbers, the first and the last among them."""
    if not values:
        return NONE
    shown = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    dots = ", … " if len(values) > most else ", "
    return dots.join(_number(values[k]) for k in shown)


def _final(curves: np.ndarray | None) -> str:
    return NONE if curves is None else _number(float(final_loss(curves.mean(0))))
