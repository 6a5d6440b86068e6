"""θ ← θ − decay_lr·wd·θ + lr·g, for all parameters that have a gradient.

All parameters that one rule moves on one device are one row of coordinates, whatever their
groups and shapes, as in JAX: the averages of LSTM+GAC go over all of them, and small tensors share
kernels.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metadescent._errors import UserError
from metadescent.torch import shard
from metadescent.torch.member import AWAKE, Member, states_here
from metadescent.torch.options import add_step
from metadescent.torch.partitioned import Group
from metadescent.torch.row import Flat, Row


class RowKey(NamedTuple):
    """What the parameters of a row have in common: their rule's number, their device and T."""

    number: int
    device: torch.device
    steps: float | int | None


class Moving(NamedTuple):
    """A parameter that is to be moved, with its θ and ∇ of now.

    Within a graph θ and ∇ may be other tensors than the parameter and its `grad`.
    """

    member: Member
    theta: Tensor
    gradient: Tensor


def move(
    moving: Sequence[Moving], parts: Sequence[Group], states: Mapping[Tensor, dict[str, Any]]
) -> None:
    """Add lr·g to parameters, and renew their states."""
    for row in _rows(moving, parts):
        _move_row(row, [states[x.member.p] for x in row])


def _rows(moving: Sequence[Moving], parts: Sequence[Group]) -> list[list[Moving]]:
    """Return parameters in lists that each make up a row."""
    together: dict[RowKey, list[Moving]] = {}
    seen: set[int] = set()
    for x in moving:
        member = x.member
        # Tied weights may be given under each of their names.
        if id(member.p) not in seen:
            seen.add(id(member.p))
            member.check()
            key = RowKey(member.number, x.theta.device, member.group["steps"])
            together.setdefault(key, []).append(x)
    for number, part in enumerate(parts):
        if part.rule.communicates:
            _require_one_row([key for key in together if key.number == number])
    # Small parameters are neighbours. DTensors have the same order in each process.
    return [sorted(row, key=lambda x: x.theta.numel()) for row in together.values()]


def _move_row(moving: Sequence[Moving], own: Sequence[dict[str, Any]]) -> None:
    """Add lr·g to the parameters of one row, and renew their states."""
    members, params = [x.member for x in moving], [x.theta for x in moving]
    part, device, steps = members[0].part, params[0].device, members[0].group["steps"]
    thetas = [shard.local(p) for p in params]
    sizes = [theta.numel() for theta in thetas]
    gradients = [m.flat(gradient) for m, _, gradient in moving]
    states = states_here(members, own)
    rule = part.rule if steps is None else part.rule.for_steps(steps)
    row = Row.of(part.shapes, states, device, part.tensor_shapes, blockwise=rule.blockwise)
    phi, is_resting = part.on(device), any(m.group["at_rest"] for m in members)
    # A guard and resting coordinates need ∇ of the whole row.
    looks = part.guard is not None or is_resting
    g = None if looks else rule.update_apart(phi, gradients, row, params)
    if g is None:
        gradient = torch.cat(gradients).to(torch.float32)
        update = partial(rule.update_row, phi, row=row, params=params)
        if part.guard is None:
            g = update(gradient)
        else:
            g = part.guard.step(rule, update, gradient, row, params, own)
        if is_resting:
            _rest(g, gradient, states)
    # Rounded once for each dtype, and not once for each parameter.
    rounded = {dtype: g.to(dtype).split(sizes) for dtype in {x.dtype for x in thetas}}
    by_group: dict[int, list[int]] = {}
    for number, member in enumerate(members):
        by_group.setdefault(id(member.group), []).append(number)
    for numbers in by_group.values():
        moved = [thetas[k] for k in numbers]
        updates = [
            rounded[x.dtype][k] if x.ndim == 1 else rounded[x.dtype][k].view(x.shape)
            for k, x in zip(numbers, moved, strict=True)
        ]
        add_step(members[numbers[0]].group, moved, updates)


def _require_one_row(keys: Sequence[RowKey]) -> None:
    """Raise a UserError if there are several rows and the rule averages over all coordinates."""
    devices = [*dict.fromkeys(str(key.device) for key in keys)]
    if len(devices) > 1:
        raise UserError(
            f"the parameters are on {' and '.join(devices)} and this optimizer averages over all "
            "of them; put them on one device"
        )
    if len(keys) > 1:
        every = " and ".join(str(key.steps) for key in keys)
        raise UserError(
            f"groups have steps of {every} and this optimizer averages over all of them; give them "
            "one number"
        )


def _rest(g: Tensor, gradient: Tensor, states: Sequence[Flat]) -> None:
    """Set g to 0 where ∇ is and always was 0, for the parameters whose state notes this."""
    before = [
        h.leaves[AWAKE] if AWAKE in h.leaves else g.new_ones(h.size, dtype=torch.bool)
        for h in states
    ]
    awake = torch.cat(before).logical_or_(gradient != 0)
    g.masked_fill_(~awake, 0.0)
    torch.split_with_sizes_copy(awake, [h.size for h in states], out=before)
