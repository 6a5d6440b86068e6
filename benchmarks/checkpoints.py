"""What it costs that a run can be killed: the share of its time that saving takes.

    python benchmarks/checkpoints.py [PROBLEM …] [--epochs 6]

A run with the problem's own recipe, saved after each epoch as always; the first epoch, in which
programs are compiled, is left out. Saving is the checkpoint, the log and, where an epoch was the
best so far, the optimizer; each is written, synced to the disk and renamed. The exit status is 1
where a share is above `MOST`.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from timing import load

from metadescent.cli.console import output, table
from metadescent.registry import make_problem, recipe_of
from metadescent.runs import Recipe, plan_of, training

MOST = 0.02
SAVING = {"checkpoint": "save_checkpoint", "log": "write_lines", "best": "_save_best"}


def watch(spent: defaultdict[str, float]) -> None:
    """Let what saves in a run add up its seconds."""

    def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent[kind] += time.perf_counter() - began

        return call

    for kind, name in SAVING.items():
        setattr(training, name, timed(kind, getattr(training, name)))


def measure(name: str, epochs: int, spent: defaultdict[str, float]) -> tuple[list[str], float]:
    """Train and return a row of the table, and the share."""
    recipe = replace(Recipe(), **{**recipe_of(name), "epochs": epochs + 1})
    with tempfile.TemporaryDirectory() as folder:
        run = training.train(Path(folder), make_problem(name), name, plan_of(recipe))
        next(run)
        spent.clear()
        began = time.perf_counter()
        for _ in run:
            pass
        seconds = time.perf_counter() - began
    each = [f"{1000 * spent[kind] / epochs:.1f}" for kind in SAVING]
    share = sum(spent.values()) / seconds
    return [name, f"{seconds / epochs:.2f}", *each, f"{100 * share:.2f} %"], share


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description="What saving a run costs.")
    parser.add_argument("problems", nargs="*", default=["mnist"])
    parser.add_argument("--epochs", type=int, default=6)
    chosen = parser.parse_args()
    spent: defaultdict[str, float] = defaultdict(float)
    watch(spent)
    measured = [measure(name, chosen.epochs, spent) for name in chosen.problems]
    columns = ["", "epoch, s", *(f"{kind}, ms" for kind in SAVING), "share"]
    output().print(
        table(f"Saving, an epoch of {chosen.epochs}", columns, [row for row, _ in measured])
    )
    output().print(f"Load averages {load()}.")
    sys.exit(any(share > MOST for _, share in measured))


if __name__ == "__main__":
    main()
