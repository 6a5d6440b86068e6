"""One line of a run's log: the numbers of an epoch."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool

from metadescent.meta.state import MetaState
from metadescent.meta.train import MetaInfo
from metadescent.runs.recipe import Recipe


def nonfinite(info: MetaInfo) -> Bool[np.ndarray, "episodes segments"]:
    """Return which meta-steps had a loss, a meta-gradient or a change of φ that is not finite."""
    seen = np.stack([info.meta_losses, info.gradient_norms, info.phi_steps])
    return np.any(~np.isfinite(seen), axis=0)


def line_of(state: MetaState, info: MetaInfo, recipe: Recipe, seconds: float) -> dict[str, Any]:
    """Return the line of `metrics.jsonl` for an epoch.

    Means and medians are over the meta-steps that were finite, and NaN if none was; `nonfinite`
    counts the others. `restarted` is 1 if φ went back to the best because of them.
    """
    broken = nonfinite(info)
    losses, norms = (
        np.where(broken, np.nan, np.asarray(x)) for x in (info.meta_losses, info.gradient_norms)
    )
    # The last segment of the horizon, which training has losses of as validation does.
    last = info.validation[recipe.steps - recipe.unroll : recipe.steps]
    vitals = {name: float(value) for name, value in info.vitals._asdict().items()}
    return {
        "epoch": int(state.epoch),
        "meta_loss": _of(np.mean, losses),
        "gradient_norm": _of(np.median, norms),
        "gradient_norm_max": _of(np.max, norms),
        "gradient_norms": [_of(np.median, column) for column in norms.T],
        "clipped": _of(np.mean, norms[~broken] > recipe.clip),
        "phi_step": _of(np.median, np.where(broken, np.nan, np.asarray(info.phi_steps))),
        "nonfinite": int(broken.sum()),
        "restarted": int(recipe.on_nonfinite == "restart-from-best" and broken.any()),
        "validation_loss": float(info.validation_loss),
        "validation_sum": float(info.validation.sum()),
        "training_end": _of(np.mean, losses[:, -1]),
        # None, if the validation has fewer steps than the horizon.
        "validation_end": float(last.mean()) if len(last) == recipe.unroll else None,
        **{name: value if math.isfinite(value) else None for name, value in vitals.items()},
        "best_loss": float(state.best_loss),
        "seconds": seconds,
    }


def nonfinite_note(line: dict[str, Any]) -> str:
    """Return a note on an epoch's meta-steps that were not finite, empty if all were finite."""
    if not line["nonfinite"]:
        return ""
    outcome = "; φ goes back to the best" if line["restarted"] else " and left out"
    steps = "meta-step" if line["nonfinite"] == 1 else "meta-steps"
    return f", {line['nonfinite']} {steps} not finite{outcome}"


def _of(summary: Callable[[np.ndarray], Any], values: np.ndarray) -> float:
    """Return a summary of the finite values alone, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(summary(finite)) if finite.size else math.nan
