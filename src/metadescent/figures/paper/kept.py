"""Searches for baselines' rates that come with an experiment, because they take longer than it.

`searches/FIGURE.json` in this folder has, for each panel and baseline, what `tune` returned and the
losses of first steps at a tenth of the best rate. These losses are a seal: the steps are run again
before the outcome is used, and if the losses differ, the search is done again. The best rate itself
may lie just below those that diverge, where another processor's rounding grows within five steps.

`python tools/keep_searches.py FIGURE` writes the file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from metadescent.descent.baselines import baseline_of
from metadescent.descent.curves import learning_curves
from metadescent.descent.tuning import Tuned
from metadescent.problems.base import Problem

FOLDER = Path(__file__).parent / "searches"
# Only few steps are compared, because rounding errors grow from step to step. They depend on the
# processor and the number of threads.
FIRST = 5
PART = 0.1
# The relative difference that rounding may make; another minibatch makes a larger difference.
CLOSE = 0.002


def kept_searches(
    path: Path, panel: str, problem: Problem, key: PRNGKeyArray, *, num_steps: int, num_seeds: int
) -> dict[str, Tuned]:
    """Return the searches of a panel, by baseline, of the same sizes and with a valid seal."""
    searches = {}
    for name, entry in _entries(path, panel).items():
        if (entry["num_steps"], entry["num_seeds"]) == (num_steps, num_seeds):
            tuned = Tuned(**entry["tuned"])
            losses = seal(name, tuned, problem, key, num_seeds)
            if np.allclose(losses, entry["first"], rtol=CLOSE, atol=0.0):
                searches[name] = tuned
    return searches


def seal(
    name: str, tuned: Tuned, problem: Problem, key: PRNGKeyArray, num_seeds: int
) -> list[float]:
    """Return the mean loss after each of the first steps at a part of a baseline's best rate."""
    m = baseline_of(name).at(PART * tuned.rate)
    curves = learning_curves(m, problem, key, num_steps=FIRST, num_seeds=num_seeds)
    return np.asarray(curves).mean(0).tolist()


def is_kept(path: Path, panel: str, name: str, num_steps: int, num_seeds: int) -> bool:
    """Tell whether a baseline's search of these sizes is kept, without checking its seal."""
    entry = _entries(path, panel).get(name)
    return entry is not None and (entry["num_steps"], entry["num_seeds"]) == (num_steps, num_seeds)


def to_entry(
    name: str, tuned: Tuned, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> dict[str, Any]:
    """Return the entry of a search in the file."""
    return {
        "num_steps": num_steps,
        "num_seeds": num_seeds,
        "tuned": tuned._asdict(),
        "first": seal(name, tuned, problem, key, num_seeds),
    }


def _entries(path: Path, panel: str) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")).get(panel, {}) if path.is_file() else {}
