"""The options of a group of parameters: what they may be, and what they do to a step."""

from typing import Any

import torch
from torch import Tensor

from metadescent._errors import UserError, require
from metadescent._text import short

BEFORE: dict[str, Any] = {
    "maximize": False,
    "at_rest": False,
    "state_dtype": torch.float32,
    "decay_lr": None,
    "steps": None,
}
"""Values for a saved state from before there were these options."""


def check_options(group: dict[str, Any]) -> None:
    """Raise a UserError if an option is not a number, is negative, or cannot be followed."""
    for name, cannot in (
        ("capturable", "captured in a graph"),
        ("differentiable", "differentiated"),
    ):
        if group.get(name):
            raise UserError(
                f"{name} is {group[name]} and a learned optimizer's step cannot be {cannot}; "
                "leave it out"
            )
    for name in ("lr", "weight_decay", "decay_lr"):
        x = group.get(name)
        if name == "decay_lr" and x is None:
            continue
        # As in PyTorch, a rate may be a tensor that a program changes in place.
        require(name, x.item() if isinstance(x, Tensor) and x.numel() == 1 else x, 0.0)
    if group.get("steps") is not None:
        require("steps", group["steps"], 1.0)
    dtype = group.get("state_dtype", torch.float32)
    if dtype not in (torch.float32, torch.bfloat16):
        raise UserError(
            f"state_dtype is {short(dtype)} and must be torch.float32 or torch.bfloat16; leave it "
            "out for float32"
        )


def add_step(group: dict[str, Any], params: list[Tensor], updates: list[Tensor]) -> None:
    """θ ← θ − decay_lr·wd·θ + lr·g for parameters of one group; θ does not change if lr is 0."""
    lr, weight_decay, decay_lr = group["lr"], group["weight_decay"], group["decay_lr"]
    if isinstance(lr, Tensor):
        # A tensor without axes does not change the dtype of the result.
        lr = lr.to(params[0].device).reshape(())
        updates, factor = list(torch._foreach_mul(updates, lr)), 1.0  # pyright: ignore[reportPrivateImportUsage]
    else:
        factor = lr
    if isinstance(weight_decay, Tensor) or weight_decay:
        # With lr = 0 nothing moves: PyTorch makes h₀ so, before it loads a distributed checkpoint.
        rate = lr if decay_lr is None else decay_lr * (lr > 0)
        torch._foreach_mul_(params, 1 - rate * weight_decay)  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_add_(params, updates, alpha=factor)  # pyright: ignore[reportPrivateImportUsage]
