"""Make those references of the bench that are missing in the package.

    python tools/references.py
    python tools/references.py --horizons 500 --tasks tabular,text-gru

One reference is 20 to 40 runs of Adam and AdamW on a task. It takes seconds for a table, and up to
an hour for 2000 steps of a recurrent network. All references take about three hours of one core. A
second call goes on where the first one ended.
"""

import argparse
import time

from metadescent.bench.kept import PACKAGE, reference_of
from metadescent.bench.task import every_task
from metadescent.runs.benching import tasks_named

HORIZONS = (500, 2000)
SEEDS = 3


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--horizons", default=",".join(map(str, HORIZONS)))
    parser.add_argument("--tasks", default="all")
    words = parser.parse_args()
    tasks = every_task()
    for steps in map(int, words.horizons.split(",")):
        for name in tasks_named(words.tasks):
            began = time.perf_counter()
            split = tasks[name].make(None)
            reference = reference_of(
                name, split, num_steps=steps, num_seeds=SEEDS, seed=0, folder=PACKAGE
            )
            seconds = time.perf_counter() - began
            print(f"{name}, {steps} steps: {reference.chosen}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
