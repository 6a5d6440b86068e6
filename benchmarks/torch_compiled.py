"""A learned step in a graph of `torch.compile`, beside the step without one.

    python benchmarks/torch_compiled.py [mnist-lstm …] [--repeats 5] [--json FILE]

θ and ∇ are those of `torch_step.py`: 999,180 coordinates in 60 tensors. The forms of a step are

- step: `optimizer.step()`, which calls the kernel in C++;
- graph: the same by `torch.compile(optimizer.step, fullgraph=True)`;
- operations: `optimizer.step()` without a kernel, in PyTorch's operations;
- inductor: what Inductor makes of the update of all coordinates in one piece, in plain operations,
  without what a step does for 60 tensors beside it; for coordinatewise rules.

Before anything is timed the θ after one step are compared. Times are medians of forms taken in
turn.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import in_turn, load, measured
from torch_native import KERNEL, form
from torch_step import TorchSteps, gradients

from metadescent import zoo
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.torch import LearnedOptimizer, native
from metadescent.torch.partitioned import Group, read_groups

# Those of one rule.
OPTIMIZERS = ("mnist-lstm", "mlp-robust-lstm", "general")


def in_a_graph(optimizer: str) -> Callable[[], Any]:
    """Return steps by the graph that has them as one operation."""
    native.kernel = KERNEL
    steps = TorchSteps(lambda theta: LearnedOptimizer(theta, optimizer))
    step = torch.compile(steps.optimizer.step, fullgraph=True)

    def moved() -> list[np.ndarray]:
        native.kernel = KERNEL
        step()
        return [p.detach().numpy() for p in steps.theta]

    return moved


def compiled(part: Group) -> Callable[[], list[np.ndarray]]:
    """Return updates of one row by the graph that Inductor makes of them."""
    gradient = torch.cat([torch.tensor(x).reshape(-1) for x in gradients()])
    h = {name: torch.zeros((*shape, gradient.numel())) for name, shape in part.shapes.items()}
    update = torch.compile(part.rule.update)

    def step() -> list[np.ndarray]:
        with torch.no_grad():
            g, after = update(part.phi, gradient, h)
        h.update(after)
        # From θ = 0 that is θ after the first step.
        return [g.numpy()]

    return step


def compared(optimizer: str, repeats: int) -> dict[str, Any]:
    """Return the times of an optimizer's forms, and their ratios to the first."""
    forms = {
        "step": form(optimizer, KERNEL),
        "graph": in_a_graph(optimizer),
        "operations": form(optimizer, lambda: None),
    }
    (part,) = read_groups(zoo.path(optimizer))
    if part.rule.coordinatewise:
        forms["inductor"] = compiled(part)
    thetas = {name: np.concatenate([x.ravel() for x in step()]) for name, step in forms.items()}
    theta = thetas["step"]
    difference = float(max(abs(x - theta).max() for x in thetas.values()) / abs(theta).max())
    if not difference < 1e-5:
        raise SystemExit(f"{optimizer}: after one step θ differs by {difference:.1e}")
    times = {name: measured(seconds) for name, seconds in in_turn(forms, repeats).items()}
    ratios = {name: x["median"] / times["step"]["median"] for name, x in times.items()}
    return {"difference": difference, "times": times, "ratios": ratios}


def main() -> None:
    """Compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("optimizers", nargs="*", default=OPTIMIZERS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if KERNEL() is None:
        raise SystemExit("there is no kernel to compare with: install a C++ compiler, such as g++")

    busy = load()
    results = {name: compared(name, given.repeats) for name in given.optimizers}
    rows = [
        [name, kind, f"{1e3 * time['median']:.1f}", f"{result['ratios'][kind]:.2f}"]
        for name, result in results.items()
        for kind, time in result["times"].items()
    ]
    out = output()
    columns = ["optimizer", "form", "ms", "÷ step"]
    out.print(table(f"one step, {torch.get_num_threads()} threads", columns, rows))
    out.print(f"{hardware()}; load {busy}")
    if given.json:
        about = {"threads": torch.get_num_threads(), "load": busy, "hardware": hardware()}
        about |= {"versions": versions() | {"torch": torch.__version__}}
        write_json(given.json, {"optimizers": results, **about})


if __name__ == "__main__":
    main()
