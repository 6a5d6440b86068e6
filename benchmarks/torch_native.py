"""What PyTorch's step costs without a C++ compiler: its own operations beside the kernel.

    python benchmarks/torch_native.py [mnist-lstm …] [--repeats 5] [--json FILE]

θ and ∇ are those of `torch_step.py`: 999,180 coordinates in 60 tensors. Before anything is timed
the two θ after one step are compared. Times are medians of forms taken in turn.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import in_turn, load, measured
from torch_step import TorchSteps, largest_difference

from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.torch import LearnedOptimizer, native

OPTIMIZERS = ("mnist-lstm", "mlp-robust-lstm", "classifier-lstm")
KERNEL = native.kernel


def form(optimizer: str, kernel: Callable[[], Any]) -> Callable[[], Any]:
    """Return steps of an optimizer, which look for the kernel by a function."""
    native.kernel = kernel
    steps = TorchSteps(lambda theta: LearnedOptimizer(theta, optimizer))

    def step() -> Any:
        native.kernel = kernel
        return steps()

    return step


def compared(optimizer: str, repeats: int) -> dict[str, Any]:
    """Return the times of an optimizer's step with the kernel and without, and their ratio."""
    forms = {"kernel": form(optimizer, KERNEL), "operations": form(optimizer, lambda: None)}
    difference = largest_difference(forms["operations"](), forms["kernel"]())
    if not difference < 1e-5:
        raise SystemExit(f"{optimizer}: after one step θ differs by {difference:.1e}")
    times = {name: measured(seconds) for name, seconds in in_turn(forms, repeats).items()}
    ratio = times["operations"]["median"] / times["kernel"]["median"]
    return {"difference": difference, "times": times, "ratio": ratio}


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
        [
            name,
            *(f"{1e3 * result['times'][kind]['median']:.1f}" for kind in ("kernel", "operations")),
            f"{result['ratio']:.2f}",
        ]
        for name, result in results.items()
    ]
    out = output()
    columns = ["one step", "kernel, ms", "PyTorch's operations, ms", "÷"]
    out.print(table(f"{torch.get_num_threads()} threads", columns, rows))
    out.print(f"{hardware()}; load {busy}")
    if given.json:
        about = {"threads": torch.get_num_threads(), "load": busy, "hardware": hardware()}
        about |= {"versions": versions() | {"torch": torch.__version__}}
        write_json(given.json, {"optimizers": results, **about})


if __name__ == "__main__":
    main()
