"""The examples of `docs/stacks.md` for several processes, against one process.

    torchrun --nproc-per-node 2 processes.py OPTIMIZER …

A program of its own, which `test_processes.py` starts.
"""

import sys
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from page import run

from metadescent.torch import LearnedOptimizer

NAME = "mlp-robust-lstm"
# Two processes that have parted do not meet again, so all of it is in one group.
ONE_GROUP = {'dist.init_process_group("gloo")': "", "dist.destroy_process_group()": ""}
# Whitening amplifies the rounding of ∇, so `general` is more sensitive to it than the others.
LIMITS = {"mlp-robust-lstm": 1e-5, "classifier-lstm": 1e-5, "general": 1e-4}
TEN = {"range(60)": "range(10)", "range(30)": "range(5)", "range(30, 60)": "range(5, 10)"}


def parameters(model: Any) -> list[torch.Tensor]:
    """Return all of θ, whoever has it."""
    each = (p.detach() for p in model.parameters())
    return [p.full_tensor() if hasattr(p, "full_tensor") else p for p in each]


def largest_difference(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(some, others, strict=True))


def train_alone(trained: dict[str, Any], name: str, parts: list[slice]) -> list[torch.Tensor]:
    """Return θ after ten steps of one process whose ∇ is the mean over these parts of a batch."""
    model = trained["network"]()
    optimizer = LearnedOptimizer(model.named_parameters(), name)
    wait = SimpleNamespace(zero_grad=lambda: None, step=lambda: None)
    for step in range(10):
        optimizer.zero_grad()
        for part in parts:
            backward = lambda loss: (loss / len(parts)).backward()  # noqa: E731
            trained["train"](model, wait, [step], part, backward)
        optimizer.step()
    return parameters(model)


def check(names: list[str]) -> None:
    losses = [run("PyTorch", kind, replaced=ONE_GROUP)["loss"] for kind in ("DDP", "FSDP2")]
    # log 10 = 2.3 at first.
    assert max(losses) < 2.3 / 4, losses
    for name in names:
        for kind in ("DDP", "FSDP2"):
            trained = run("PyTorch", kind, replaced={NAME: name} | ONE_GROUP | TEN)
            ours = parameters(trained["model"])
            if kind == "FSDP2":
                # A run that was not saved and loaded has the same bits.
                model, optimizer = trained["sharded"]()
                trained["train"](model, optimizer, range(10), trained["part"])
                assert largest_difference(ours, parameters(model)) == 0
            else:
                # ∇ is rounded alike if one process takes the batch in the same parts.
                parts = [slice(k, None, dist.get_world_size()) for k in range(2)]
                assert largest_difference(ours, train_alone(trained, name, parts)) == 0
            difference = largest_difference(ours, train_alone(trained, name, [slice(None)]))
            assert difference <= LIMITS[name], f"{name}, {kind}: {difference}"


if __name__ == "__main__":
    dist.init_process_group("gloo")
    check(sys.argv[1:])
    dist.destroy_process_group()
