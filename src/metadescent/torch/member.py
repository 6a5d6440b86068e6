"""One parameter of an optimizer: its ∇ and h as they are here, and what it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from metadescent._errors import UserError, require_kind
from metadescent.torch import shard
from metadescent.torch.partitioned import Group
from metadescent.torch.row import Tensors

AWAKE = "awake"
"""The leaf of a state that has, for each coordinate, whether its gradient was ever not 0."""


RESHAPED = "one of the two was given another; optimizer.state.pop(parameter) begins anew"


SMALL = 1024
"""Coordinates up to which a view of h takes as long as its arithmetic, so that views are kept.

Of more of them none is, so that memory is free at once when the caller takes h away.
"""


@dataclass(eq=False)
class Member:
    """A parameter, its rule's number, its rule, its group and its name, if it has one."""

    p: Tensor
    number: int
    part: Group
    group: dict[str, Any]
    name: str | None
    # Flat views of h, and what it was when they were made.
    _kept: tuple[Any, Sequence[Tensor], Tensors] = (None, (), {})

    @property
    def called(self) -> str:
        """What a sentence calls it."""
        if self.name:
            return f"the parameter {self.name}"
        shape = shape_of(self.p)
        return "a lazy parameter" if shape is None else f"a parameter of shape {shape}"

    def check(self) -> None:
        """Refuse a parameter that its rule cannot move."""
        p, rule = self.p, self.part.rule
        if p.is_complex():
            raise UserError(
                f"{self.called} is {p.dtype} and must be real; split it into real and imaginary "
                "parts"
            )
        if rule.communicates and shard.is_shared(p):
            raise UserError(
                f"{self.called} is a DTensor and this optimizer averages over all coordinates; try "
                "one that does not, such as mlp-robust-lstm"
            )
        if not rule.coordinatewise and hasattr(p, shard.IS_FLAT):
            raise UserError(
                f"{self.called} is flattened by FSDP1 and this optimizer measures whole tensors; "
                "try fully_shard (FSDP2), or mlp-robust-lstm"
            )

    def gradient(self) -> Tensor:
        """Return the gradient to go down, flat, as far as it is here."""
        gradient = self.p.grad
        assert gradient is not None
        if gradient.layout != torch.strided:
            raise UserError(
                f"the gradient of {self.called} is sparse and must be dense; try sparse=False in "
                "the embedding"
            )
        if gradient.shape != self.p.shape:
            raise UserError(
                f"the gradient of {self.called} has shape {tuple(gradient.shape)} and must have "
                "its parameter's; call backward() again"
            )
        flat = shard.local(shard.like(self.p, gradient))
        flat = flat if flat.ndim == 1 else flat.reshape(-1)
        return -flat if self.group["maximize"] else flat

    def leaves(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return, of each leaf of h, the shape of one coordinate's and the dtype."""
        leaves = {name: (shape, torch.float32) for name, shape in self.part.shapes.items()}
        return leaves | ({AWAKE: ((), torch.bool)} if self.group["at_rest"] else {})

    def state_here(self, state: Tensors) -> Tensors:
        """Return the part of a state that is here, flat; it is made h₀ where there is none yet."""
        p, device, is_shared = self.p, self.p.device, shard.is_shared(self.p)
        form = is_shared, p.shape, device, self.group["at_rest"]
        before, twins, flat = self._kept
        # Whatever the caller did, views are still of h if it is the same memory in the same order.
        xs: list[Any] = [*map(state.get, flat)]
        if (
            form == before
            and {*map(type, xs)} <= {Tensor}
            and all(map(Tensor.is_set_to, xs, twins))
        ):
            return flat
        flat, n = {}, shard.local(p).numel()
        for name, (shape, dtype) in self.leaves().items():
            if name not in state:
                state[name] = shard.zeros(p, shape, dtype)
            x = state[name]
            self._require_shape(name, x, shape, RESHAPED)
            # The caller may have put another in its place, or the parameter on another device.
            if x.device != device or x.dtype != dtype or is_shared or not x.is_contiguous():
                x = shard.like(p, x.to(device, dtype)).contiguous()
                state[name] = x
            flat[name] = shard.local(x).view((*shape, n))
        if n <= SMALL and device.type in ("cpu", "cuda"):  # where PyTorch has `is_set_to`
            self._kept = form, [state[name].data for name in flat], flat
        return flat

    def restored(self, given: Any) -> Tensors:
        """Return h from a state that was saved, in a precision that PyTorch would change."""
        leaves = self.leaves()
        require_kind(f"the state of {self.called}", given, dict, "a dict of tensors")
        if hasattr(self.p, shard.IS_FLAT):
            given = shard.of_features(given)
        if given.keys() != leaves.keys():
            raise UserError(
                f"the state of {self.called} has {', '.join(sorted(given))} where "
                f"{', '.join(sorted(leaves))} are expected; it was saved from another optimizer"
            )
        for name, (shape, _) in leaves.items():
            require_kind(f"{name} of {self.called}", given[name], Tensor, "a tensor")
            self._require_shape(
                name, given[name], shape, "it was saved from another optimizer or model"
            )
        return {
            name: shard.like(self.p, given[name].to(self.p.device, dtype, copy=True)).contiguous()
            for name, (_, dtype) in leaves.items()
        }

    def _require_shape(self, name: str, x: Tensor, shape: tuple[int, ...], hint: str) -> None:
        expected = (*shape, *self.p.shape)
        if x.shape != expected:
            raise UserError(
                f"{name} of {self.called} has shape {tuple(x.shape)} where {expected} is expected; "
                f"{hint}"
            )


def shape_of(p: Tensor) -> tuple[int, ...] | None:
    """Return the shape of a parameter; a lazy one has none yet."""
    return None if is_lazy(p) else tuple(p.shape)


def rest(g: Tensor, gradient: Tensor, states: Sequence[Tensors], sizes: Sequence[int]) -> None:
    """Make g 0 where ∇ is and always was, in those parameters whose state keeps count of it."""
    before = [
        h[AWAKE] if AWAKE in h else g.new_ones(n, dtype=torch.bool)
        for h, n in zip(states, sizes, strict=True)
    ]
    awake = torch.cat(before).logical_or_(gradient != 0)
    g.masked_fill_(~awake, 0.0)
    torch.split_with_sizes_copy(awake, list(sizes), out=before)
