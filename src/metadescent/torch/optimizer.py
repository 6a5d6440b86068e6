"""θ ← θ − decay_lr·wd·θ + lr·g: a learned optimizer as a `torch.optim.Optimizer`.

All parameters that one rule moves on one device are one row of coordinates, whatever their
groups and shapes, as in JAX: the averages of LSTM+GAC go over all of them, and small tensors share
kernels.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from metadescent import zoo
from metadescent._errors import UserError, require_kind
from metadescent.torch import shard
from metadescent.torch.guarded import Guard, guard_totals
from metadescent.torch.member import (
    Member,
    RowKey,
    require_one_row,
    rest,
    shape_of,
    states_here,
)
from metadescent.torch.options import BEFORE, add_step, check_options
from metadescent.torch.partitioned import fingerprint, number_of, read_groups, wrappers
from metadescent.torch.row import Row
from metadescent.torch.states import States

LOW = 0.01
"""An lr up to which it is probably the rate of another optimizer, such as Adam's."""


class LearnedOptimizer(torch.optim.Optimizer):
    """A learned optimizer where `torch.optim.Adam` stood.

    Arguments:
        params: parameters or groups of them, as for any `torch.optim.Optimizer`; with names, from
            `model.named_parameters()`, for an optimizer that has several rules.
        optimizer: a name in the zoo or on the Hugging Face Hub, such as "hf://user/repo", or the
            file or run folder of an optimizer of one's own.
        lr: factor on what the optimizer says; 1 is what it was trained for. May differ by group,
            and schedulers may change it. Of one as low as Adam's rates a warning says so.
        weight_decay: λ of decoupled weight decay. May differ by group.
        decay_lr: the rate that λ is multiplied by. At 1e-3, AdamW's own, λ is as strong as AdamW's,
            whatever lr is, unless it is 0. None: lr, whose schedule the decay then goes with. May
            differ by group.
        maximize: whether to go up instead of down. May differ by group.
        at_rest: whether a coordinate keeps its value, but for weight decay, until its gradient is
            first not 0: padding rows, masked and unused weights. May differ by group.
        state_dtype: what the LSTM's part of h is kept in, torch.float32 or, in half the memory,
            torch.bfloat16. Moments and counts stay in float32. May differ by group.
        steps: T, for an optimizer that has a schedule or a clock in parts of a run; what it was
            trained for, or none, if not given. May differ by group.
        guard: whether steps that are not finite or far too long are replaced by safe ones, and
            counted in `guarded`.
        foreach, fused: ignored; there is one way of computing a step.
        capturable, differentiable: False, as a step cannot be captured or differentiated.
            `torch.compile` leaves the step as it is.

    The arithmetic is done in float32; updates are rounded to the parameter's dtype.
    A parameter whose gradient is None keeps its value and its h. Of a DTensor each process moves
    its part. `identity` has the optimizer's name and a fingerprint of its rule and φ, and so have
    `repr` and each group of `state_dict`.

    Raises:
        UserError: if the optimizer is unknown, its file does not fit, or PyTorch has no such rule;
            if params are not parameters; if lr, weight_decay or decay_lr is negative or not a
            number; if state_dtype is another dtype; if steps is less than 1; if capturable or
            differentiable is set; if a parameter is complex, no rule takes it, or the rule needs
            more of it than this process has. On use, if a gradient is sparse, a state is another
            parameter's or coordinates that communicate are on several devices or have several T.
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
        self,
        params: ParamsT,
        optimizer: str | Path,
        *,
        lr: float | Tensor = 1.0,
        weight_decay: float = 0.0,
        decay_lr: float | Tensor | None = 1e-3,
        maximize: bool = False,
        at_rest: bool = False,
        state_dtype: torch.dtype = torch.float32,
        steps: float | int | None = None,
        guard: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        require_kind("params", params, Iterable, "parameters; try model.parameters()")
        # A state says of which commit of the Hub's it is.
        optimizer = zoo.pinned(optimizer)
        path = zoo.path(optimizer)
        self._parts = read_groups(path)
        if guard:
            self._parts = [dataclasses.replace(x, guard=x.guard or Guard()) for x in self._parts]
        self._identity = {"optimizer": str(optimizer), "fingerprint": fingerprint(path)}
        self._names: dict[Tensor, str] = {}
        self._forget()
        del foreach, fused
        options = {
            "lr": lr,
            "weight_decay": weight_decay,
            "decay_lr": decay_lr,
            "maximize": maximize,
            "at_rest": at_rest,
            "state_dtype": state_dtype,
            "steps": steps,
        }
        check_options(options | {"capturable": capturable, "differentiable": differentiable})
        super().__init__(params, options | self._identity)
        self.state = States(dict, self.state)

    @property
    def identity(self) -> dict[str, str]:
        """Return what `repr` and `state_dict` say of the optimizer: its name and fingerprint."""
        return dict(self._identity)

    @property
    def guarded(self) -> dict[str, int]:
        """Return how many tensors' steps a guard replaced, and how many ∇ were not finite."""
        return guard_totals(self.state.values())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; return what the closure, if any, returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._move_all()
        return loss

    # `torch.compile` leaves it as it is, as its graph of a whole row has been slower.
    @torch._disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
    def _move_all(self) -> None:
        """Move every parameter that has a gradient."""
        for members in self._moving():
            self._move(members)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with an lr and a weight decay of its own if it has them."""
        if isinstance(param_group, dict) and "params" not in param_group:
            raise UserError(
                f"a group has {_few(param_group)} and no params; try "
                "{'params': model.parameters()}"
            )
        super().add_param_group(param_group)
        # After PyTorch, which makes a group of it.
        group = self.param_groups[-1]
        group.update(self._identity)
        named = [*zip(group["params"], group.get("param_names", ()), strict=False)]
        # Of several names of one, which are tied weights', the first.
        self._names.update(reversed(named))
        try:
            check_options(group)
            for member in self._members():
                member.check()
        except UserError:
            self.param_groups.pop()
            raise
        if 0 < group["lr"] <= LOW:
            warnings.warn(
                f"lr is {float(group['lr']):g}, and of a learned optimizer it is a factor on the "
                "step and no rate; leave it out, as 1 is what it was trained for",
                stacklevel=2,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the state as PyTorch does; of what FSDP1 has flattened, feature by feature."""
        given = super().state_dict()
        for index, member in zip(_ids(given), self._members(), strict=True):
            if hasattr(member.p, shard.IS_FLAT) and index in given["state"]:
                given["state"][index] = shard.by_feature(given["state"][index], member.p)
        return given

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned; what follows is what would have followed.

        Raises:
            UserError: if it is no state, or that of another optimizer: of another rule or φ.
            ValueError: if its groups are not as many or as large as these, from PyTorch.
        """
        require_kind("state_dict", state_dict, dict, "a dict; try optimizer.state_dict()")
        last: dict[str, Any] = {}
        before = self.state, self.param_groups
        # A hook of the caller's may have changed it; ours is the last and sees what is loaded.
        with self.register_load_state_dict_pre_hook(lambda _, given: last.update(self._own(given))):
            super().load_state_dict(state_dict)
        try:
            for group in self.param_groups:
                check_options(group)
            for index, member in zip(_ids(last), self._members(), strict=True):
                given = last["state"].get(index, {})
                if given != {}:
                    self.state[member.p] = member.restored(given)
        except UserError:
            # PyTorch has taken the new ones by then.
            self.state, self.param_groups = before
            raise

    def __getstate__(self) -> dict[str, Any]:
        own = {"_parts": self._parts, "_identity": self._identity, "_names": self._names}
        return super().__getstate__() | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.state = States(dict, self.state)
        # A state from before there were these has none.
        for group in self.param_groups:
            for name, value in (BEFORE | self._identity).items():
                group.setdefault(name, value)
        self._forget()

    def _forget(self) -> None:
        """Keep no members, which a copy does not share."""
        self._seen: Any = None
        self._kept: list[Member] = []

    def _members(self) -> list[Member]:
        """Return every parameter of every group, the same while the groups have the same."""
        seen = [
            (id(group), [*map(id, group["params"])], [*group.get("param_names", ())])
            for group in self.param_groups
        ]
        if seen != self._seen:
            # What is kept lives, so no other has its id.
            self._kept, self._seen = list(self._read_groups()), seen
        return self._kept

    def _read_groups(self) -> Iterator[Member]:
        """Return every parameter of every group."""
        named: list[tuple[Tensor, str | None, dict[str, Any]]] = []
        for group in self.param_groups:
            params, names = group["params"], group.get("param_names", [])
            # Whoever puts other parameters into a group may leave its names as they were.
            names = names if len(names) == len(params) else [None] * len(params)
            pairs = zip(params, names, strict=True)
            named += [(p, self._names.get(p, name), group) for p, name in pairs]
        depth = wrappers(name for _, name, _ in named)
        for p, name, group in named:
            number = number_of(self._parts, name, shape_of(p), depth)
            yield Member(p, number, self._parts[number], group, name)

    def _moving(self) -> list[list[Member]]:
        """Return the parameters that have a gradient, those together that share a row."""
        together: dict[RowKey, list[Member]] = {}
        seen: set[int] = set()
        for member in self._members():
            # Weights that are tied may be given under each of their names.
            if member.p.grad is not None and id(member.p) not in seen:
                seen.add(id(member.p))
                member.check()
                together.setdefault(member.row_key, []).append(member)
        for number, part in enumerate(self._parts):
            if part.rule.communicates:
                require_one_row([key for key in together if key.number == number])
        # Small ones side by side. DTensors go by their whole size, in one order everywhere.
        return [sorted(members, key=lambda m: m.p.numel()) for members in together.values()]

    def _move(self, members: list[Member]) -> None:
        """Add lr·g to the parameters of one row."""
        part, device = members[0].part, members[0].p.device
        thetas = [shard.local(m.p) for m in members]
        sizes = [theta.numel() for theta in thetas]
        gradients = [m.gradient() for m in members]
        states = states_here(members, [self.state[m.p] for m in members])
        steps, params = members[0].row_key.steps, [m.p for m in members]
        rule = part.rule if steps is None else part.rule.for_steps(steps)
        row = Row.of(part.shapes, states, device, part.tensor_shapes, blockwise=rule.blockwise)
        phi, is_resting = part.on(device), any(m.group["at_rest"] for m in members)
        # A guard and rest look at all of ∇.
        looks = part.guard is not None or is_resting
        g = None if looks else rule.update_apart(phi, gradients, row, params)
        if g is None:
            gradient = torch.cat(gradients).to(torch.float32)
            update = partial(rule.update_row, phi, row=row, params=params)
            if part.guard is None:
                g = update(gradient)
            else:
                own = [self.state[p] for p in params]
                g = part.guard.step(rule, update, gradient, row, params, own)
            if is_resting:
                rest(g, gradient, states)
        # Once a dtype, and not once a parameter.
        rounded = {dtype: g.to(dtype).split(sizes) for dtype in {x.dtype for x in thetas}}
        by_group: dict[int, list[int]] = {}
        for number, member in enumerate(members):
            by_group.setdefault(id(member.group), []).append(number)
        for numbers in by_group.values():
            moving = [thetas[k] for k in numbers]
            updates = [
                rounded[x.dtype][k] if x.ndim == 1 else rounded[x.dtype][k].view(x.shape)
                for k, x in zip(numbers, moving, strict=True)
            ]
            add_step(members[numbers[0]].group, moving, updates)

    def _own(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the state of an optimizer, once it is seen to be one, and this one's."""
        if not {"state", "param_groups"} <= given.keys():
            raise UserError(
                f"state_dict has {_few(given)} where state and param_groups are expected; try "
                "optimizer.state_dict()"
            )
        require_kind("the state of state_dict", given["state"], dict, "a dict")
        own = self._identity
        for group in given["param_groups"]:
            # States from before there were fingerprints are taken by their form.
            saved = own | {name: group[name] for name in own if name in group}
            if saved["fingerprint"] != own["fingerprint"]:
                raise UserError(
                    "the state was saved from {optimizer} of fingerprint {fingerprint}".format(
                        **saved
                    )
                    + " and this is {optimizer} of {fingerprint}; load".format(**own)
                    + f" it into LearnedOptimizer(params, {saved['optimizer']!r})"
                )
        return given


def _ids(given: dict[str, Any]) -> Iterator[Any]:
    """Return what a state calls each parameter of every group."""
    return chain.from_iterable(group["params"] for group in given["param_groups"])


def _few(keys: Iterable[Any]) -> str:
    """Return the first of some keys, for a sentence."""
    return ", ".join(map(str, islice(keys, 3))) or "nothing"
