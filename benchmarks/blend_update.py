"""One update of `blend` on 999,180 coordinates in 60 tensors, beside `optax.adamw`'s.

    python benchmarks/blend_update.py [--repeats 40] [--json FILE]

30 matrices and 30 vectors, given ∇. An update is compiled, and either alone, its old state kept, or
with θ + g, as a training loop takes it: θ and the state are then donated. The forms are timed in
turn, and a ratio is the median of those within a turn. `taskset -c 0` in front is one thread.
"""

import argparse
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import optax
from timing import in_turn, load, measured, median

from metadescent import _ffi
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.optimizers.blend import Blend

LAYERS, WIDTH = 30, 182
ADAMW, KERNEL, PLAIN = "optax.adamw", "blend, kernel in C++", "blend, JAX alone"
ALONE, APPLIED = "update", "update and θ + g, in place"


class Steps:
    """Steps of an optimizer, one after the other."""

    def __init__(self, optimizer: Any, *, applies: bool):
        """Lay out θ, ∇ and the state."""
        keys = iter(jax.random.split(jax.random.key(0), 4 * LAYERS))
        shapes = [(WIDTH, WIDTH), (WIDTH,)] * LAYERS
        self.theta = [0.1 * jax.random.normal(next(keys), shape) for shape in shapes]
        self.gradient = [jax.random.normal(next(keys), shape) for shape in shapes]
        # A copy: what is donated must not be shared.
        self.state = jax.tree.map(jax.numpy.copy, optimizer.init(self.theta))
        self.applies = applies

        # What is donated is in the order of what comes out: JAX goes by this.
        def update(theta: Any, state: Any, gradient: Any) -> Any:
            g, state = optimizer.update(gradient, state, theta)
            return (optax.apply_updates(theta, g) if applies else g), state

        self.update = jax.jit(update, donate_argnums=(0, 1) if applies else ())

    def __call__(self) -> Any:
        """Make a step; return θ or g."""
        result, state = self.update(self.theta, self.state, self.gradient)
        if self.applies:
            self.theta, self.state = result, state
        return result, state


def forms() -> dict[tuple[str, str], Steps]:
    """Return all forms, compiled."""
    blend = Blend(horizon=500.0, key=jax.random.key(0)).as_optax()
    made: dict[tuple[str, str], Steps] = {}
    for way in (ALONE, APPLIED):
        for name in (ADAMW, KERNEL, PLAIN):
            optimizer = optax.adamw(1e-3) if name == ADAMW else blend
            steps = Steps(optimizer, applies=way == APPLIED)
            with patch.object(_ffi, "kernels", dict if name == PLAIN else _ffi.kernels):
                jax.block_until_ready(steps())
            made[name, way] = steps
    return made


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--json", type=Path, default=Path("runs/blend-update.json"))
    arguments = parser.parse_args()
    before = load()
    seconds = in_turn({"; ".join(key): steps for key, steps in forms().items()}, arguments.repeats)
    rows = []
    for name, times in seconds.items():
        base = seconds["; ".join((ADAMW, name.partition("; ")[2]))]
        ratio = median([a / b for a, b in zip(times, base, strict=True)])
        quarter = float(np.quantile(times, 0.25))
        rows.append([name, f"{1e3 * median(times):.2f}", f"{1e3 * quarter:.2f}", f"{ratio:.2f}"])
    columns = ["form", "median, ms", "lower quarter, ms", "times optax.adamw's"]
    output().print(table(f"{LAYERS * WIDTH * (WIDTH + 1):,} coordinates", columns, rows))
    output().print(f"{hardware()}; kernel: {bool(_ffi.kernels())}; load {before} → {load()}")
    write_json(
        arguments.json,
        {
            "forms": {name: measured(times) for name, times in seconds.items()},
            "load": {"before": before, "after": load()},
            "hardware": hardware(),
            "versions": versions(),
        },
    )


if __name__ == "__main__":
    main()
