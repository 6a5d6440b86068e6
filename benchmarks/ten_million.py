"""`general` beside AdamW at 1e-3 on a classifier of 10.7 million parameters, in PyTorch.

    METADESCENT_DATA=FOLDER python benchmarks/ten_million.py [--steps 200] [--seeds 3] [--json FILE]

The network is 784-2304-2304-1280-512-10 with ReLU, on MNIST, 64 images a step. Both optimizers have
the same θ₀ and the same minibatches. Printed are the mean loss of the last tenth of the steps, the
loss on the test images after the last one, and seconds a step, of which most are the gradient's.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import load

from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.problems.data.mnist import load_mnist
from metadescent.torch import LearnedOptimizer

SIZES = (784, 2304, 2304, 1280, 512, 10)
BATCH = 64
OTHERS = {
    "AdamW, 1e-3": lambda theta, _: torch.optim.AdamW(theta, lr=1e-3),
    "general": lambda theta, steps: LearnedOptimizer(theta, "general", steps=steps),
}


def network(seed: int) -> torch.nn.Sequential:
    """Return the network with PyTorch's first weights."""
    torch.manual_seed(seed)
    layers = [[torch.nn.Linear(a, b), torch.nn.ReLU()] for a, b in pairwise(SIZES)]
    return torch.nn.Sequential(*[layer for pair in layers for layer in pair][:-1])


def run(make: Any, data: Any, seed: int, steps: int) -> tuple[float, float, float]:
    """Return the mean loss of the last tenth, the held-out loss and seconds a step."""
    (images, labels), held_out = data
    model, draw = network(seed), torch.Generator().manual_seed(seed)
    optimizer, losses, began = make(model.parameters(), steps), [], time.perf_counter()
    for _ in range(steps):
        batch = torch.randint(len(images), (BATCH,), generator=draw)
        loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    seconds = (time.perf_counter() - began) / steps
    with torch.no_grad():
        tested = torch.nn.functional.cross_entropy(model(held_out[0]), held_out[1])
    return float(np.mean(losses[-max(1, steps // 10) :])), tested.item(), seconds


def main() -> None:
    """Run both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("runs/ten-million.json"))
    given = parser.parse_args()
    before = load()
    data = [
        (torch.tensor(images, dtype=torch.float32) / 255, torch.tensor(labels).long())
        for images, labels in (load_mnist(None, split) for split in ("train", "test"))
    ]
    count = sum(p.numel() for p in network(0).parameters())
    results, rows = {}, []
    for name, make in OTHERS.items():
        results[name] = [run(make, data, seed, given.steps) for seed in range(given.seeds)]
        means = np.mean(results[name], axis=0)
        rows.append([name, *(f"{x:.3g}" for x in means)])
    heads = ["", "last tenth", "held out", "seconds a step"]
    out = output()
    out.print(table(f"{count:,} parameters, {given.steps} steps", heads, rows))
    out.print(f"{given.seeds} seeds; {torch.get_num_threads()} threads; {hardware()}")
    about = {"parameters": count, "load": before, "hardware": hardware()}
    about |= {"versions": versions() | {"torch": torch.__version__}}
    write_json(given.json, {"runs": results, **about})


if __name__ == "__main__":
    main()
