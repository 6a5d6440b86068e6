"""Searches for baselines' rates that are kept with an experiment, where they take longer than it.

`searches/FIGURE.json` beside this file has, panel by panel and baseline by baseline, what `tune`
returned and the losses of the best rate's first steps. These are its seal: they are run anew before
the outcome is used, and where other losses come out the search is done again.

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
# Few steps are compared, as rounding, which differs with the number of threads, grows from step to
# step at the best rates, which are large.
FIRST = 5
# The relative difference that rounding may make; another minibatch makes a larger one.
CLOSE = 0.002


def kept_searches(
    path: Path, panel: str, problem: Problem, key: PRNGKeyArray, *, num_steps: int, num_seeds: int
) -> dict[str, Tuned]:
    """Return the searches of a panel in a file that are what new ones would be, by baseline."""
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
    """Return the mean loss after each of the first steps of a baseline at its best rate."""
    m = baseline_of(name).at(tuned.rate)
    curves = learning_curves(m, problem, key, num_steps=FIRST, num_seeds=num_seeds)
    return np.asarray(curves).mean(0).tolist()


def is_kept(path: Path, panel: str, name: str, num_steps: int, num_seeds: int) -> bool:
    """Tell whether a baseline's search of these sizes is kept; its seal is not tried."""
    entry = _entries(path, panel).get(name)
    return entry is not None and (entry["num_steps"], entry["num_seeds"]) == (num_steps, num_seeds)


def to_entry(
    name: str, tuned: Tuned, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> dict[str, Any]:
    """Return what the file has of one search."""
    return {
        "num_steps": num_steps,
        "num_seeds": num_seeds,
        "tuned": tuned._asdict(),
        "first": seal(name, tuned, problem, key, num_seeds),
    }


def _entries(path: Path, panel: str) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")).get(panel, {}) if path.is_file() else {}
