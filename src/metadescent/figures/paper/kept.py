"""Searches for baselines' rates that are kept with an experiment, where they take longer than it.

`searches/FIGURE.json` beside this file has, panel by panel and baseline by baseline, the outcome of
a search as `metadescent.descent.tuning.tune` returns it, the grid with all its final losses, and
the losses of the best rate's first steps. The latter are its seal: whoever wants to use the outcome
runs these steps anew, and where other losses come out, because the problem, its data, the draw of
minibatches, the optimizer or the unroll is not what it was, the search is done again.

`python tools/keep_searches.py FIGURE` writes the file.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from metadescent.descent.baselines import BASELINES
from metadescent.descent.curves import learning_curves
from metadescent.descent.tuning import Tuned
from metadescent.problems.base import Problem

FOLDER = Path(__file__).parent / "searches"
FIRST = 5
"""Steps that are compared: few, as rounding, which differs with the number of threads, grows from
step to step at the best rates, which are large."""
CLOSE = 0.002
"""Relative difference that rounding may make; another minibatch makes a larger one."""


def seal(
    name: str, tuned: Tuned, problem: Problem, key: PRNGKeyArray, num_seeds: int
) -> list[float]:
    """Return the mean loss after each of the first steps of a baseline at its best rate.

    Example:
        >>> import jax
        >>> from metadescent.problems.quadratic import Quadratic
        >>> tuned = Tuned(0.01, [0.001, 0.01, 0.1], [2.0, 1.0, 3.0], "")
        >>> losses = seal("sgd", tuned, Quadratic(), jax.random.key(0), 4)
        >>> len(losses), losses[0] > losses[-1]
        (5, True)
    """
    m = BASELINES[name].make(tuned.rate)
    curves = learning_curves(m, problem, key, num_steps=FIRST, num_seeds=num_seeds)
    return np.asarray(curves).mean(0).tolist()


def searches(
    path: Path,
    panel: str,
    problem: Problem,
    key: PRNGKeyArray,
    *,
    num_steps: int,
    num_seeds: int,
) -> dict[str, Tuned]:
    """Return the kept searches of a panel that are still what a new search would be, by baseline.

    None of another horizon, other seeds or a broken seal is among them; nor is anything where there
    is no such file.

    Arguments:
        path: the file.
        panel: the panel's name.
        problem, key, num_steps, num_seeds: those of `tune`.
    """
    if not path.is_file():
        return {}
    found = {}
    for name, entry in json.loads(path.read_text()).get(panel, {}).items():
        if (entry["num_steps"], entry["num_seeds"]) == (num_steps, num_seeds):
            tuned = Tuned(**entry["tuned"])
            now = seal(name, tuned, problem, key, num_seeds)
            if np.allclose(now, entry["first"], rtol=CLOSE, atol=0.0):
                found[name] = tuned
    return found


def has(path: Path, panel: str, name: str, num_steps: int, num_seeds: int) -> bool:
    """Tell whether a baseline's search of these sizes is kept; its seal is not tried.

    Example:
        >>> has(Path("none.json"), "cifar10", "adam", 1000, 64)
        False
    """
    entry = json.loads(path.read_text()).get(panel, {}).get(name) if path.is_file() else None
    return entry is not None and (entry["num_steps"], entry["num_seeds"]) == (num_steps, num_seeds)


def entry(
    name: str, tuned: Tuned, problem: Problem, key: PRNGKeyArray, num_steps: int, num_seeds: int
) -> dict[str, Any]:
    """Return what the file has of one search."""
    return {
        "num_steps": num_steps,
        "num_seeds": num_seeds,
        "tuned": tuned._asdict(),
        "first": seal(name, tuned, problem, key, num_seeds),
    }
