"""Search for the baselines' rates of an experiment, and keep the searches with it.

    python tools/keep_searches.py figure7

Rates that were searched before are taken from the cache. Searches that are in the file already stay
there while their seal is valid. A second call therefore goes on where the first one ended.
"""

import argparse
import json
from pathlib import Path

import jax

from metadescent._files import write_json
from metadescent.cli.tables import tuning_cache
from metadescent.descent.comparison import problem_keys
from metadescent.descent.tuning_cache import cached_tune
from metadescent.figures.paper import experiment_of
from metadescent.figures.paper.budgets import budget_of
from metadescent.figures.paper.kept import kept_searches, to_entry
from metadescent.figures.paper.panels import LearningCurves
from metadescent.registry import make_problem


def main() -> None:
    """Do every search that is not kept yet."""
    parser = argparse.ArgumentParser(description="Keep an experiment's searches for rates.")
    parser.add_argument("figure")
    parser.add_argument("--budget", default="cpu")
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    experiment = experiment_of(arguments.figure)
    if not isinstance(experiment, LearningCurves):
        parser.error(f"{arguments.figure} has no panels of learning curves")
    budget, path = budget_of(arguments.budget), experiment.kept
    key, _ = problem_keys(0)
    for panel, setting in experiment.settings.items():
        problem = make_problem(setting.search, arguments.data_dir)
        num_steps = budget.steps(setting.num_steps)
        num_seeds = budget.seeds(setting.seeds).tune
        held = kept_searches(path, panel, problem, key, num_steps=num_steps, num_seeds=num_seeds)
        for name in setting.baselines:
            if name not in held:
                tuned = cached_tune(name, problem, key, num_steps, num_seeds, tuning_cache())
                # Read again each time, as another process may have written to it since.
                kept = json.loads(path.read_text()) if path.is_file() else {}
                entry = to_entry(name, tuned, problem, key, num_steps, num_seeds)
                kept.setdefault(panel, {})[name] = entry
                write_json(path, kept)
                print(f"{panel}, {name}: {tuned.rate:.3g}", flush=True)
        jax.clear_caches()


if __name__ == "__main__":
    main()
