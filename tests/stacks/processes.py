"""The examples of `docs/stacks.md` for several processes, against one process.

    torchrun --nproc-per-node 2 processes.py OPTIMIZER …

A program of its own, which `test_processes.py` starts.
"""

import sys
from typing import Any

import torch
import torch.distributed as dist
from page import run

from metadescent.torch import LearnedOptimizer

NAME = "mlp-robust-lstm"
# Two processes that have parted do not meet again, so all of it is in one group.
ONE_GROUP = {'dist.init_process_group("gloo")': "", "dist.destroy_process_group()": ""}
TEN = {"range(60)": "range(10)", "range(30)": "range(5)", "range(30, 60)": "range(5, 10)"}


def parameters(model: Any) -> list[torch.Tensor]:
    """Return all of θ, whoever has it."""
    each = (p.detach() for p in model.parameters())
    return [p.full_tensor() if hasattr(p, "full_tensor") else p for p in each]


def largest_difference(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(some, others, strict=True))


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
            alone = trained["network"]()
            optimizer = LearnedOptimizer(alone.named_parameters(), name)
            trained["train"](alone, optimizer, range(10))
            difference = largest_difference(ours, parameters(alone))
            assert difference <= 1e-5, f"{name}, {kind}: {difference}"


if __name__ == "__main__":
    dist.init_process_group("gloo")
    check(sys.argv[1:])
    dist.destroy_process_group()
