"""One step of a pretrained optimizer on 999,180 coordinates in 60 tensors: PyTorch beside JAX.

    python benchmarks/torch_step.py [--optimizer mnist-lstm] [--repeats 5] [--json FILE]

Both read the same file and take the same gradients; before anything is timed, their updates are
compared. A step is what a training loop waits for after the backward pass: in PyTorch
`optimizer.step()`; in JAX the update, compiled, its old state donated, and θ + g. Beside them, for
scale, is Adam in both. Times are medians of forms taken in turn.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from timing import in_turn, load, measured

from metadescent import zoo
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.cli.console import output, table
from metadescent.torch import LearnedOptimizer

LAYERS, WIDTH = 30, 182
ADAM = 1e-3


def gradients() -> list[np.ndarray]:
    """Return ∇ of 30 layers: a matrix and a vector each."""
    rng = np.random.default_rng(0)
    shapes = [(WIDTH, WIDTH), (WIDTH,)] * LAYERS
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


class TorchSteps:
    """Steps of an optimizer of PyTorch's, one after the other, from θ = 0."""

    def __init__(self, make: Callable[[list[Any]], torch.optim.Optimizer]):
        """Lay out θ and ∇."""
        self.theta = [torch.nn.Parameter(torch.zeros(x.shape)) for x in gradients()]
        for p, gradient in zip(self.theta, gradients(), strict=True):
            p.grad = torch.tensor(gradient)
        self.optimizer = make(self.theta)

    def __call__(self) -> list[np.ndarray]:
        """Take a step; return θ."""
        self.optimizer.step()
        return [p.detach().numpy() for p in self.theta]


class JaxSteps:
    """The same in JAX."""

    def __init__(self, optimizer: Any):
        """Lay out θ and ∇."""
        self.gradients = [jnp.asarray(x) for x in gradients()]
        self.theta = [jnp.zeros(x.shape) for x in self.gradients]
        self.state = optimizer.init(self.theta)

        def step(theta: Any, state: Any, gradient: Any) -> Any:
            g, state = optimizer.update(gradient, state, theta)
            return optax.apply_updates(theta, g), state

        self.step = jax.jit(step, donate_argnums=(0, 1))

    def __call__(self) -> list[jax.Array]:
        """Take a step; return θ."""
        self.theta, self.state = self.step(self.theta, self.state, self.gradients)
        return self.theta


def largest_difference(one: list[Any], other: list[Any]) -> float:
    """Return the largest difference of two θ, relative to the largest coordinate."""
    pairs = [(np.asarray(x), np.asarray(y)) for x, y in zip(one, other, strict=True)]
    return float(max(abs(x - y).max() for x, y in pairs) / max(abs(y).max() for _, y in pairs))


def main() -> None:
    """Compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--optimizer", default="mnist-lstm")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    forms: dict[str, Callable[[], Any]] = {
        "PyTorch": TorchSteps(lambda theta: LearnedOptimizer(theta, given.optimizer)),
        "JAX": JaxSteps(zoo.load(given.optimizer)),
        "Adam, PyTorch": TorchSteps(lambda theta: torch.optim.Adam(theta, ADAM, foreach=True)),
        "Adam, JAX": JaxSteps(optax.adam(ADAM)),
    }
    difference = largest_difference(forms["PyTorch"](), forms["JAX"]())
    if not difference < 1e-5:
        raise SystemExit(f"after one step θ differs by {difference:.1e} of its largest coordinate")
    busy = load()
    times = {n: measured(seconds) for n, seconds in in_turn(forms, given.repeats).items()}
    result = {
        "optimizer": given.optimizer,
        "coordinates": sum(x.size for x in gradients()),
        "difference": difference,
        "times": times,
        "ratio": times["PyTorch"]["median"] / times["JAX"]["median"],
        "threads": torch.get_num_threads(),
        "load": busy,
        "hardware": hardware(),
        "versions": versions() | {"torch": torch.__version__},
    }
    rows = [[name, f"{1e3 * time['median']:.1f}"] for name, time in times.items()]
    out = output()
    out.print(table(f"{given.optimizer}, one step", ["form", "ms"], rows))
    out.print(f"{result['ratio']:.2f} times JAX's; {result['hardware']}; load {busy}")
    if given.json:
        write_json(given.json, result)


if __name__ == "__main__":
    main()
