"""One step in PyTorch where one tensor of 64 has no gradient, beside one where all have.

    python benchmarks/torch_frozen.py [general …] [--repeats 40]

Times are medians of steps taken in turn, on one thread.
"""

import argparse

import torch
from timing import in_turn, load, measured

from metadescent._provenance import hardware
from metadescent.cli.console import output, table
from metadescent.torch import LearnedOptimizer

OPTIMIZERS = ("general", "mlp-robust-lstm")
COUNT, WIDTH = 64, 32


def stepping(name: str, frozen: int) -> LearnedOptimizer:
    """Return an optimizer of θ = 1 with ∇ = 1, and no ∇ for the first tensors."""
    theta = [torch.nn.Parameter(torch.ones(WIDTH, WIDTH)) for _ in range(COUNT)]
    for p in theta[frozen:]:
        p.grad = torch.ones(WIDTH, WIDTH)
    return LearnedOptimizer(theta, name)


def main() -> None:
    """Time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("optimizers", nargs="*", default=OPTIMIZERS)
    parser.add_argument("--repeats", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    busy, rows = load(), []
    for name in given.optimizers:
        forms = {frozen: stepping(name, frozen).step for frozen in (0, 1)}
        times = {k: measured(x)["median"] for k, x in in_turn(forms, given.repeats).items()}
        rows.append(
            [name, *(f"{1e3 * x:.2f}" for x in times.values()), f"{times[1] / times[0]:.2f}"]
        )
    out = output()
    columns = ["optimizer", "all, ms", "one frozen, ms", "÷"]
    out.print(table(f"one step, {COUNT} tensors of {WIDTH} × {WIDTH}", columns, rows))
    out.print(f"{hardware()}; load {busy}")


if __name__ == "__main__":
    main()
