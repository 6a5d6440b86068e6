"""One step of `blend` in PyTorch, with its kernel and without, beside `torch.optim.AdamW`'s.

    python benchmarks/torch_blend.py [--repeats 40] [--processor] [--json FILE]

θ has 999,180 coordinates in 60 tensors, those of `torch_step.py`, or 105,600 in 220. A step is
`optimizer.step()`, given ∇; AdamW's has `foreach=True`. The forms are timed in turn, several steps
at a time, and a ratio is the median of those within a turn. `taskset -c 0` in front is one thread;
with one, `--processor` counts the processor's time, which other work on the machine changes less.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import torch
from timing import in_turn, load, measured, median

from metadescent import zoo
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.registry import make_optimizer
from metadescent.torch import LearnedOptimizer, native

SHAPES = {
    "999,180 coordinates in 60 tensors": [(182, 182), (182,)] * 30,
    "105,600 coordinates in 220 tensors": [(30, 30), (60,)] * 110,
}
ADAMW, KERNEL, PLAIN = "torch.optim.AdamW", "blend, kernel in C++", "blend, PyTorch alone"
STEPS = 5
"""In one measurement: of one the clock and the pause before it would be a part."""
LIBRARY = native.kernel


def form(
    shapes: list[tuple[int, ...]], make: Callable[[list[Any]], Any], kernel: Callable[[], Any]
) -> Callable[[], None]:
    """Return steps of an optimizer, which look for the kernel by a function."""
    draw = torch.Generator().manual_seed(0)
    theta = [torch.nn.Parameter(0.1 * torch.randn(shape, generator=draw)) for shape in shapes]
    for p in theta:
        p.grad = torch.randn(p.shape, generator=draw)
    optimizer = make(theta)

    def step() -> None:
        native.kernel = kernel
        for _ in range(STEPS):
            optimizer.step()

    return step


def forms_of(shapes: list[tuple[int, ...]], blend: Path) -> dict[str, Callable[[], None]]:
    """Return the steps of AdamW and of blend in both ways."""
    learned = lambda theta: LearnedOptimizer(theta, blend, steps=500)  # noqa: E731
    adamw = lambda theta: torch.optim.AdamW(theta, 1e-3, foreach=True)  # noqa: E731
    return {
        ADAMW: form(shapes, adamw, LIBRARY),
        KERNEL: form(shapes, learned, LIBRARY),
        PLAIN: form(shapes, learned, lambda: None),
    }


def main() -> None:
    """Measure, and print a table for each θ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("runs/torch-blend.json"))
    given = parser.parse_args()
    if LIBRARY() is None:
        raise SystemExit("there is no kernel to compare with: install a C++ compiler, such as g++")
    before, out, results = load(), output(), {}
    clock = time.process_time if given.processor else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blend.safetensors"
        zoo.save(path, make_optimizer("blend", jax.random.key(0)))
        for title, shapes in SHAPES.items():
            seconds = in_turn(forms_of(shapes, path), given.repeats, clock)
            rows, results[title] = [], {}
            for name, times in seconds.items():
                ratio = median([a / b for a, b in zip(times, seconds[ADAMW], strict=True)])
                results[title][name] = measured(times, STEPS) | {"ratio": ratio}
                rows.append([name, f"{1e3 * median(times) / STEPS:.2f}", f"{ratio:.2f}"])
            out.print(table(title, ["one step", "median, ms", "times AdamW's"], rows))
    threads = torch.get_num_threads()
    out.print(f"{threads} threads; {hardware()}; load {before} → {load()}")
    about = {"threads": threads, "load": before, "hardware": hardware()}
    about |= {"versions": versions() | {"torch": torch.__version__}}
    write_json(given.json, {"theta": results, **about})


if __name__ == "__main__":
    main()
