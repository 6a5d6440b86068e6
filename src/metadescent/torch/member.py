"""One parameter of an optimizer: this process's part of its ∇ and h, and what is refused."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from metadescent._errors import UserError, require_kind
from metadescent.torch import shard
from metadescent.torch.guarded import COUNTS, counts_of
from metadescent.torch.partitioned import Group
from metadescent.torch.row import Flat, Tensors

AWAKE = "awake"
"""The leaf of a state that says of each coordinate whether its gradient was ever not 0."""


ANEW = "optimizer.state.pop(parameter) begins anew"
RESHAPED = f"one of the two was given another; {ANEW}"


SMALL = 1024
"""Views of h are kept up to so many coordinates, as making one takes as long as arithmetic.

No views are kept of larger ones, so that memory is free at once when the caller removes h.
"""


class Leaf(NamedTuple):
    """A leaf of h: the shape for one coordinate, the dtype, and the tensor whose shape is appended.

    A leaf that a parameter has as a whole takes a tensor of one number for that.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    of: Tensor


class Kept(NamedTuple):
    """h of a small parameter as it was: its form, its leaves' lengths and addresses, and h flat."""

    form: Any
    lengths: Sequence[int]
    addresses: bytes
    flat: Flat


NOTHING = Kept(None, (), b"", Flat(0, {}, None))


@dataclass(eq=False)
class Member:
    """A parameter with its rule's number, its rule, its group and its name, if it has one."""

    p: Tensor
    number: int
    part: Group
    group: dict[str, Any]
    name: str | None
    kept: Kept = NOTHING

    @property
    def called(self) -> str:
        """Its name in a sentence."""
        if self.name:
            return f"the parameter {self.name}"
        shape = shape_of(self.p)
        return "a lazy parameter" if shape is None else f"a parameter of shape {shape}"

    @property
    def form(self) -> tuple[Any, ...]:
        """What the form of h depends on."""
        group = self.group
        return type(self.p), self.p.shape, self.p.device, group["at_rest"], group["state_dtype"]

    def check(self) -> None:
        """Raise a UserError if the rule cannot move the parameter."""
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

    def flat(self, gradient: Tensor) -> Tensor:
        """Return this process's part of the gradient, flat; −∇ if the group maximizes."""
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
        if shard.is_shared(gradient) or shard.is_shared(self.p):
            gradient = shard.local(shard.like(self.p, gradient))
        flat = gradient if gradient.ndim == 1 else gradient.reshape(-1)
        return -flat if self.group["maximize"] else flat

    def leaves(self) -> dict[str, Leaf]:
        """Return each leaf of h, with those that the rule has for coordinates first."""
        hidden, dtype = self.part.rule.hidden(), self.group["state_dtype"]
        leaves = {
            name: Leaf(shape, dtype if name in hidden else torch.float32, self.p)
            for name, shape in self.part.shapes.items()
        }
        for name, shape in self.part.tensor_shapes.items():
            leaves[name] = Leaf(shape, torch.float32, torch.empty((), device=self.p.device))
        return leaves | ({AWAKE: Leaf((), torch.bool, self.p)} if self.group["at_rest"] else {})

    def state_here(self, state: dict[str, Any]) -> Flat:
        """Return this process's part of a state, flat; leaves that are missing become h₀."""
        if _are_still([self], [state]):
            return self.kept.flat
        device, is_shared = self.p.device, shard.is_shared(self.p)
        leaves, n = {}, shard.local(self.p).numel()
        for name, (shape, dtype, p) in self.leaves().items():
            if name not in state:
                state[name] = shard.zeros(p, shape, dtype)
            x = state[name]
            self._require_shape(name, x, (*shape, *p.shape), RESHAPED)
            # The caller may have replaced the leaf, or moved the parameter to another device.
            if x.device != device or x.dtype != dtype or is_shared or not x.is_contiguous():
                x = shard.like(p, x.to(device, dtype)).contiguous()
                state[name] = x
            x = shard.local(x)
            end = (x.storage_offset() + x.numel()) * x.element_size()
            if x.numel() and x.untyped_storage().nbytes() < end:
                raise UserError(f"{name} of {self.called} has lost its memory; {ANEW}")
            leaves[name] = x.data.view((*shape, n if p is self.p else 1))
        self.kept = NOTHING
        # Tensors of other kinds may have no addresses.
        if device.type not in ("cpu", "cuda") or not {*map(type, leaves.values())} <= {Tensor}:
            return Flat(n, leaves, None)
        addresses = array("q", map(Tensor.data_ptr, leaves.values()))
        read = len(self.part.shapes) + len(self.part.tensor_shapes)
        # The kernels only read float32.
        dtypes = {x.dtype for x in [*leaves.values()][:read]}
        is_whole = dtypes == {torch.float32} and device.type == "cpu"
        its = addresses[:read].tobytes() if is_whole else None
        flat = Flat(n, leaves, its)
        if n <= SMALL and not is_shared:
            lengths = [*map(Tensor.numel, leaves.values())]
            self.kept = Kept(self.form, lengths, addresses.tobytes(), flat)
        return flat

    def restored(self, given: Any) -> Tensors:
        """Return h from a saved state, in its own precision, which PyTorch would change."""
        leaves = self.leaves()
        require_kind(f"the state of {self.called}", given, dict, "a dict of tensors")
        if hasattr(self.p, shard.IS_FLAT):
            given = shard.of_features(given)
        # A run may go on with or without a guard, so the counts may be there or not.
        counts = counts_of(given, self.called) if self.part.guard else {}
        given = {name: x for name, x in given.items() if name not in COUNTS}
        if given.keys() != leaves.keys():
            raise UserError(
                f"the state of {self.called} has {', '.join(sorted(given))} where "
                f"{', '.join(sorted(leaves))} are expected; it was saved from another optimizer"
            )
        for name, (shape, _, p) in leaves.items():
            require_kind(f"{name} of {self.called}", given[name], Tensor, "a tensor")
            hint = "it was saved from another optimizer or model"
            self._require_shape(name, given[name], (*shape, *p.shape), hint)
        return counts | {
            name: shard.like(p, given[name].to(p.device, dtype, copy=True)).contiguous()
            for name, (_, dtype, p) in leaves.items()
        }

    def _require_shape(self, name: str, x: Tensor, expected: tuple[int, ...], hint: str) -> None:
        if x.shape != expected:
            raise UserError(
                f"{name} of {self.called} has shape {tuple(x.shape)} where {expected} is expected; "
                f"{hint}"
            )


def states_here(members: Sequence[Member], states: Sequence[dict[str, Any]]) -> list[Flat]:
    """Return the result of `Member.state_here` for each member."""
    known = [(m, h) for m, h in zip(members, states, strict=True) if m.kept is not NOTHING]
    # They are checked all together, as time matters with thousands of them.
    still = bool(known) and _are_still(*zip(*known, strict=True))
    return [
        m.kept.flat if still and m.kept is not NOTHING else m.state_here(h)
        for m, h in zip(members, states, strict=True)
    ]


def _are_still(members: Sequence[Member], states: Sequence[dict[str, Any]]) -> bool:
    """Tell whether h is still in the same memory and order, whatever the caller did.

    What is kept holds that memory, so that no other tensor can have its address.
    """
    kept = [m.kept for m in members]
    xs: list[Any] = [
        h.get(name) for h, k in zip(states, kept, strict=True) for name in k.flat.leaves
    ]
    return (
        [m.form for m in members] == [k.form for k in kept]
        and {*map(type, xs)} <= {Tensor}
        and array("q", map(Tensor.data_ptr, xs)).tobytes() == b"".join(k.addresses for k in kept)
        and [*map(Tensor.numel, xs)] == [*chain.from_iterable(k.lengths for k in kept)]
        and all(map(Tensor.is_contiguous, xs))
    )


def shape_of(p: Tensor) -> tuple[int, ...] | None:
    """Return the shape of a parameter, None for a lazy one that has none yet."""
    return None if is_lazy(p) else tuple(p.shape)
