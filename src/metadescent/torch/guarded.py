"""A guard around a rule in PyTorch; `optimizers/guarded.py` has its equations.

The counts of a parameter are kept with its h. On a GPU the guard reads two numbers a step back.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent._errors import UserError, require
from metadescent.optimizers.guard_constants import LIMIT, RATE, TAU
from metadescent.torch.row import Row
from metadescent.torch.rule import Rule
from metadescent.torch.shard import is_shared, local, over_parts

COUNTS = ("replaced", "not_finite")
"""The counts in a parameter's state: of replaced steps, and of steps whose ∇ was not finite."""


@dataclass(frozen=True)
class Guard:
    """The bounds on a step."""

    limit: float = LIMIT
    rate: float = RATE

    def __post_init__(self) -> None:
        require("limit", self.limit, 1e-12)
        require("rate", self.rate, 1e-12)

    def step(
        self,
        rule: Rule,
        update: Callable[[Tensor], Tensor],
        gradient: Float[Tensor, " n"],
        row: Row,
        params: Sequence[Tensor],
        states: Sequence[dict[str, Any]],
    ) -> Float[Tensor, " n"]:
        """Return g of a row; `update` maps ∇ to it and renews h."""
        for h in states:
            for name in COUNTS:
                h.setdefault(name, torch.zeros((), dtype=torch.int64))
        if _is_anywhere(~gradient.isfinite().all(), params):
            for h in states:
                h["not_finite"] += 1
            return torch.zeros_like(gradient)
        g = update(gradient)
        hidden = rule.hidden()
        # If hidden units are not finite, g is not either, so only the moments have to be looked at.
        leaves = {**row.leaves, **row.of_tensors}
        moments = [x for name, xs in leaves.items() if name not in hidden for x in xs]
        is_broken = ~_are_finite(moments, row.device)
        thetas = [local(p) for p in params]
        steps = g.split([theta.numel() for theta in thetas])
        rms, size = _measured(steps, thetas, params)
        # A comparison with NaN is False.
        fits = rms <= self.limit * size
        if not _is_anywhere(is_broken | ~fits.all(), params):
            return g
        if _is_anywhere(is_broken | ~g.isfinite().all(), params):
            torch._foreach_zero_([x for xs in leaves.values() for x in xs])  # pyright: ignore[reportPrivateImportUsage]
            fits = torch.zeros_like(fits)
        gradients = gradient.split([theta.numel() for theta in thetas])
        tensors = zip(fits.tolist(), steps, gradients, size, states, strict=True)
        return torch.cat([g if fit else self._safe(x, s, h) for fit, g, x, s, h in tensors])

    def _safe(self, gradient: Tensor, size: Tensor, state: dict[str, Any]) -> Tensor:
        """Return the safe step of one tensor, and count it in the state."""
        length = self.rate / (1 + int(state["replaced"]) / TAU) ** 0.5 * size
        state["replaced"] += 1
        return -length * gradient.sign()


def guard_totals(states: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return how many tensors' steps were replaced, and how many steps had a ∇ not finite."""
    replaced, not_finite = ([int(h.get(name, 0)) for h in states] for name in COUNTS)
    return {"replaced": sum(replaced), "not_finite": max(not_finite, default=0)}


def counts_of(given: dict[str, Any], owner: str) -> dict[str, Tensor]:
    """Return the counts in a saved state; they are absent if it was saved without a guard."""
    counts = {name: given[name] for name in COUNTS if name in given}
    for name, x in counts.items():
        if not isinstance(x, Tensor) or x.numel() != 1:
            raise UserError(
                f"{name} of {owner} must be a tensor of one number; try "
                "optimizer.state.pop(parameter), which begins anew"
            )
    return {name: x.detach().cpu().long().reshape(()) for name, x in counts.items()}


def _measured(
    steps: Sequence[Tensor], thetas: Sequence[Tensor], params: Sequence[Tensor]
) -> tuple[Float[Tensor, " tensors"], Float[Tensor, " tensors"]]:
    """Return the root mean square of each tensor's g, and the size of its θ."""
    norms = [torch._foreach_norm(list(xs), 2, dtype=torch.float32) for xs in (steps, thetas)]  # pyright: ignore[reportPrivateImportUsage]
    squares = torch.stack([torch.stack(x) for x in norms], 1).square()
    if any(map(is_shared, params)):
        pairs = zip(squares, params, strict=True)
        squares = torch.stack([over_parts(square, p, "sum") for square, p in pairs])
    counts = [[max(p.numel(), 1), max(*p.shape, 1) if p.ndim > 1 else 1] for p in params]
    numel, n = torch.tensor(counts, dtype=torch.float32, device=squares.device).T
    return (squares[:, 0] / numel).sqrt(), (squares[:, 1] / numel + 1 / n).sqrt()


def _are_finite(xs: Sequence[Tensor], device: torch.device) -> Tensor:
    """Tell whether all numbers are finite."""
    xs = [x for x in xs if x.numel()]
    if not xs:
        return torch.tensor(True, device=device)
    largest = torch._foreach_norm(xs, float("inf"))  # pyright: ignore[reportPrivateImportUsage]
    return torch.stack(largest).isfinite().all()


def _is_anywhere(flag: Tensor, params: Sequence[Tensor]) -> bool:
    """Tell whether a flag is set in any process that has a part of a parameter."""
    shared: list[Any] = [p for p in params if is_shared(p)]
    for p in {(p.device_mesh, p.placements): p for p in shared}.values():
        flag = over_parts(flag.float(), p, "max") > 0
    return bool(flag)
