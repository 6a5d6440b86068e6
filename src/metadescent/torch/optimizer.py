"""θ ← θ − lr·wd·θ + lr·g: a learned optimizer as a `torch.optim.Optimizer`.

All parameters that one rule moves on one device are one row of coordinates, whatever their groups
and shapes, as in JAX: the averages of LSTM+GAC go over all of them, and a step takes as many
kernels for a thousand tensors as for one, but for gathering ∇ and adding g.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from metadescent import zoo
from metadescent._errors import UserError, require, require_kind
from metadescent.torch.partitioned import number_of, read_groups
from metadescent.torch.row import Row

RESHAPED = "its data has changed its shape; optimizer.state.pop(parameter) begins anew"


class Member(NamedTuple):
    """A parameter, the number of its rule, its group and what to call it."""

    p: Tensor
    number: int
    group: dict[str, Any]
    called: str


class LearnedOptimizer(torch.optim.Optimizer):
    """A learned optimizer where `torch.optim.Adam` stood.

    Arguments:
        params: parameters or groups of them, as for any `torch.optim.Optimizer`; with names, from
            `model.named_parameters()`, for an optimizer that has several rules.
        optimizer: a name in the zoo, or the file or run folder of an optimizer of one's own.
        lr: factor on what the optimizer says; 1 is what it was trained for. May differ by group,
            and schedulers may change it.
        weight_decay: λ of decoupled weight decay. May differ by group.

    h is kept, and the arithmetic done, in float32; updates are rounded to the parameter's dtype.
    A parameter whose gradient is None keeps its value and its h.

    Raises:
        UserError: if the optimizer is unknown, its file does not fit, or PyTorch has no such rule;
            if params are not parameters; if lr or weight_decay is negative or not a number; if a
            parameter is complex or no rule takes it. On use, if a gradient is sparse or coordinates
            that communicate are on several devices.
        TypeError, ValueError: from PyTorch, as where there are no parameters.

    Example:
        >>> import torch
        >>> from metadescent.torch import LearnedOptimizer
        >>> theta = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = LearnedOptimizer([theta], "mnist-lstm")
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> bool((theta < 1).all())
        True
    """

    def __init__(
        self, params: ParamsT, optimizer: str | Path, *, lr: float = 1.0, weight_decay: float = 0.0
    ):
        require_kind("params", params, Iterable, "parameters; try model.parameters()")
        self._parts = read_groups(zoo.path(optimizer))
        self._rows: dict[tuple[int, torch.device], Row] = {}
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; return what the closure, if any, returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for members in self._moving():
            self._move(members)
        return loss

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with an lr and a weight decay of its own if it has them."""
        if isinstance(param_group, dict) and "params" not in param_group:
            raise UserError(
                f"a group has {_few(param_group)} and no params; try "
                "{'params': model.parameters()}"
            )
        super().add_param_group(param_group)
        # After PyTorch, which makes a group of it.
        try:
            _check(self.param_groups[-1])
            for member in self._members():
                if member.p.is_complex():
                    raise UserError(
                        f"{member.called} is {member.p.dtype} and must be real; split it into real "
                        "and imaginary parts"
                    )
        except UserError:
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned; what follows is what would have followed.

        Raises:
            UserError: if it is no state, or that of another kind of optimizer.
            ValueError: if its groups are not as many or as large as these, from PyTorch.
        """
        require_kind("state_dict", state_dict, dict, "a dict; try optimizer.state_dict()")
        last: dict[str, Any] = {}
        before = self.state, self.param_groups
        # A hook of the caller's may have changed it; ours is the last and sees what is loaded.
        with self.register_load_state_dict_pre_hook(lambda _, given: last.update(_whole(given))):
            super().load_state_dict(state_dict)
        ids = chain.from_iterable(group["params"] for group in last["param_groups"])
        try:
            for group in self.param_groups:
                _check(group)
            for index, member in zip(ids, self._members(), strict=True):
                given = last["state"].get(index, {})
                if given != {}:
                    self._restore(member, given)
        except UserError:
            # PyTorch has taken the new ones by then.
            self.state, self.param_groups = before
            raise

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_parts": self._parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Of a copy `state` holds other tensors, from which `_row` lays new rows.
        self._rows = {}

    def _members(self) -> Iterator[Member]:
        """Return every parameter of every group."""
        for group in self.param_groups:
            names = group.get("param_names", [None] * len(group["params"]))
            for name, p in zip(names, group["params"], strict=True):
                shape = tuple(p.shape)
                called = f"the parameter {name}" if name else f"a parameter of shape {shape}"
                yield Member(p, number_of(self._parts, name, shape), group, called)

    def _moving(self) -> list[list[Member]]:
        """Return the parameters that have a gradient, those together that share a row."""
        together: dict[tuple[int, torch.device], list[Member]] = {}
        for member in self._members():
            if member.p.grad is not None:
                if member.p.grad.layout != torch.strided:
                    raise UserError(
                        f"the gradient of {member.called} is sparse and must be dense; try "
                        "sparse=False in the embedding"
                    )
                if member.p.grad.shape != member.p.shape:
                    raise UserError(
                        f"the gradient of {member.called} has shape {tuple(member.p.grad.shape)}; "
                        "call zero_grad() when a parameter is given data of another shape"
                    )
                together.setdefault((member.number, member.p.device), []).append(member)
        for number, part in enumerate(self._parts):
            devices = [str(device) for of, device in together if of == number]
            if len(devices) > 1 and part.rule.communicates:
                raise UserError(
                    f"the parameters are on {' and '.join(devices)} and this optimizer averages "
                    "over all of them; put them on one device"
                )
        return list(together.values())

    def _move(self, members: list[Member]) -> None:
        """Add lr·g to the parameters of one row."""
        params, row = [member.p for member in members], self._row(members)
        gradients = [p.grad.reshape(-1) for p in params if p.grad is not None]
        g = row.update(params, torch.cat(gradients).to(torch.float32))
        sizes = [p.numel() for p in params]
        # Once a dtype, and not once a parameter.
        rounded = {dtype: g.to(dtype).split(sizes) for dtype in {p.dtype for p in params}}
        updates = [rounded[p.dtype][i].view(p.shape) for i, p in enumerate(params)]
        pairs = zip(members, updates, strict=True)
        # A group's members come one after the other.
        for _, alike in groupby(pairs, lambda pair: id(pair[0].group)):
            moves = list(alike)
            _apply(moves[0][0].group, [m.p for m, _ in moves], [g for _, g in moves])

    def _row(self, members: list[Member]) -> Row:
        """Return the row that holds h of these parameters, a new one if there is none."""
        number, device = members[0].number, members[0].p.device
        row = self._rows.get((number, device))
        if row is None or not all(row.holds(m.p, self.state[m.p]) for m in members):
            moving = {m.p for m in members}
            # In the order of groups, so that a run that was resumed has the same row.
            its = [
                m
                for m in self._members()
                if (m.number, m.p.device) == (number, device)
                and (m.p in moving or self.state.get(m.p))
            ]
            before = [self.state.get(m.p, {}) for m in its]
            for member, state in zip(its, before, strict=True):
                if state:
                    self._require_fit(member, state, RESHAPED)
            row = Row(self._parts[number], [m.p for m in its], before)
            self._rows[number, device] = row
            # Dictionaries of the caller's own: one that is changed is told from the row's.
            self.state.update({p: dict(h) for p, h in row.states.items()})
        return row

    def _restore(self, member: Member, given: Any) -> None:
        """Take h from a state that was saved, in its own precision, which PyTorch would change."""
        self._require_fit(member, given, "it was saved from another optimizer or model")
        self.state[member.p] = {
            name: x.to(member.p.device, torch.float32, copy=True) for name, x in given.items()
        }

    def _require_fit(self, member: Member, given: Any, hint: str) -> None:
        """Raise a UserError unless h has the leaves that the rule and the parameter ask for."""
        p, shapes = member.p, self._parts[member.number].rule.state_shapes()
        expected = {name: (*shape, *p.shape) for name, shape in shapes.items()}
        require_kind(f"the state of {member.called}", given, dict, "a dict of tensors")
        if given.keys() != expected.keys():
            raise UserError(
                f"the state of {member.called} has {', '.join(sorted(given))} where "
                f"{', '.join(sorted(expected))} are expected; it was saved from another optimizer"
            )
        for name, shape in expected.items():
            require_kind(f"{name} of {member.called}", given[name], Tensor, "a tensor")
            if given[name].shape != shape:
                raise UserError(
                    f"{name} of {member.called} has shape {tuple(given[name].shape)} where {shape} "
                    f"is expected; {hint}"
                )


def _whole(given: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an optimizer, once it is seen to be one."""
    if not {"state", "param_groups"} <= given.keys():
        raise UserError(
            f"state_dict has {_few(given)} where state and param_groups are expected; try "
            "optimizer.state_dict()"
        )
    require_kind("the state of state_dict", given["state"], dict, "a dict")
    return given


def _few(keys: Iterable[Any]) -> str:
    """Return the first of some keys, for a sentence."""
    return ", ".join(map(str, islice(keys, 3))) or "nothing"


def _check(group: dict[str, Any]) -> None:
    """Refuse options of a group that are not numbers, or negative."""
    for name in ("lr", "weight_decay"):
        require(name, group.get(name), 0.0)


def _apply(group: dict[str, Any], params: list[Tensor], updates: list[Tensor]) -> None:
    """θ ← θ − lr·wd·θ + lr·g for parameters of one group."""
    lr, weight_decay = group["lr"], group["weight_decay"]
    if weight_decay:
        torch._foreach_mul_(params, 1 - lr * weight_decay)  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_add_(params, updates, alpha=lr)  # pyright: ignore[reportPrivateImportUsage]
