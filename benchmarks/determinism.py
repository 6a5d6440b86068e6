"""How much φ changes when the same training is run again: as it was, or with something exchanged.

    python benchmarks/determinism.py [--problem quadratic] [--epochs 3]

Each row is a process of its own. The change is √(Σ (φ − φ')² / Σ φ²) over all of φ, and its largest
entry beside the largest of φ. What another version of XLA would change cannot be had in one
environment: machine code without optimization stands for it, other orders of the same sums.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TRAIN = """
import os, sys
if sys.argv[2] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, json
import numpy as np
from dataclasses import replace
from pathlib import Path
from metadescent.runs import Recipe, plan_of, train
from metadescent.registry import make_problem, recipe_of
name, epochs = sys.argv[3], int(sys.argv[4])
recipe = replace(Recipe(**recipe_of(name)), epochs=epochs, episodes=2, validation_problems=4)
*_, (state, _) = train(Path(sys.argv[1]), make_problem(name), name, plan_of(recipe))
phi = [np.ravel(leaf).tolist() for leaf in jax.tree.leaves(state.m)]
print(json.dumps(sum(phi, [])))
"""
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "as it was": ("all", {}),
    "again": ("all", {}),
    "on one processor": ("one", {}),
    "without the kernels in C++": ("all", {"METADESCENT_NATIVE": "0"}),
    "other machine code": ("all", {"XLA_FLAGS": "--xla_backend_optimization_level=0"}),
}


def main() -> None:
    """Train in each way and print what changed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problem", default="quadratic")
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args()
    by_variant = {name: phi(*how, chosen.problem, chosen.epochs) for name, how in VARIANTS.items()}
    first = by_variant.pop("as it was")
    print(f"{chosen.problem}, {chosen.epochs} epochs of 2 episodes")
    for name, other in by_variant.items():
        apart = np.linalg.norm(other - first) / np.linalg.norm(first)
        largest = np.abs(other - first).max() / np.abs(first).max()
        same = "the same bits" if (other == first).all() else f"{apart:.1e}, largest {largest:.1e}"
        print(f"{name:32}{same}")


def phi(processors: str, variables: dict[str, str], problem: str, epochs: int) -> np.ndarray:
    """Return φ after training in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", TRAIN, str(Path(folder) / "run"), processors]
        done = subprocess.run(
            [*words, problem, str(epochs)],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return np.asarray(json.loads(done.stdout), np.float64)


if __name__ == "__main__":
    main()
