"""One step of an optimizer on 999,180 coordinates in 60 tensors, with a guard and without.

    python benchmarks/guard.py [--optimizer mlp-robust-lstm] [--repeats 5] [--json FILE]

The optimizer is a pretrained one, or a specification such as `blend`; it is timed in JAX alone if
PyTorch has no such rule. A step is what `torch_step.py` times. Times are medians of forms taken in
turn, and what counts is their ratio. It also says how many steps of tensors the guards replaced.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import torch
from timing import in_turn, load, measured
from torch_step import JaxSteps, TorchSteps

from metadescent import UserError, zoo
from metadescent._files import write_json
from metadescent._provenance import hardware, versions
from metadescent.optimizers import Guarded
from metadescent.registry import make_optimizer
from metadescent.torch import LearnedOptimizer


def forms_of(m: Any, path: Path) -> dict[str, Callable[[], Any]]:
    """Return the steps of each framework, with a guard and without."""
    forms: dict[str, Any] = {"JAX": JaxSteps(m), "JAX, guarded": JaxSteps(Guarded(m))}
    try:
        for name, guard in (("PyTorch", False), ("PyTorch, guarded", True)):
            make = lambda theta, guard=guard: LearnedOptimizer(theta, path, guard=guard)  # noqa: E731
            forms[name] = TorchSteps(make)
    except UserError as error:
        print(error)
    return forms


def replaced(form: Any) -> int:
    """Return how many steps of tensors the guard of a form replaced."""
    if isinstance(form, TorchSteps):
        return form.optimizer.guarded["replaced"]
    return sum(map(int, jax.tree.leaves(form.state.replaced)))


def main() -> None:
    """Time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--optimizer", default="mlp-robust-lstm")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()

    is_known = given.optimizer in zoo.names()
    m = (
        zoo.load(given.optimizer)
        if is_known
        else make_optimizer(given.optimizer, jax.random.key(0))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        zoo.save(path, m)
        forms = forms_of(m, path)
        busy = load()
        times = {n: measured(seconds) for n, seconds in in_turn(forms, given.repeats).items()}
    ratios = {}
    for name, time in times.items():
        print(f"{name}: {1e3 * time['median']:.1f} ms")
        if name.endswith("guarded"):
            framework = name.partition(",")[0]
            ratios[framework] = time["median"] / times[framework]["median"]
            print(f"  {ratios[framework]:.2f} times; replaced {replaced(forms[name])}")
    print(f"{hardware()}; load {busy}; {torch.get_num_threads()} threads of PyTorch's")
    if given.json:
        facts = {"hardware": hardware(), "versions": versions(), "load": busy}
        write_json(given.json, {"optimizer": given.optimizer, "times": times, **facts} | ratios)


if __name__ == "__main__":
    main()
