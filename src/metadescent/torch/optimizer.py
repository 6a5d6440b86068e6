"""A learned optimizer as a `torch.optim.Optimizer`: options, names and states."""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from metadescent import zoo
from metadescent._errors import UserError, require_kind
from metadescent.torch import in_graph, shard
from metadescent.torch.guarded import Guard, guard_totals
from metadescent.torch.member import Member, shape_of
from metadescent.torch.moving import Moving, move
from metadescent.torch.options import BEFORE, check_options
from metadescent.torch.partitioned import fingerprint, number_of, read_groups, wrappers
from metadescent.torch.states import States

LOW = 0.01
"""An lr up to here is probably the rate of another optimizer, such as Adam's."""


class LearnedOptimizer(torch.optim.Optimizer):
    """A learned optimizer in place of `torch.optim.Adam`.

    Arguments:
        params: parameters or groups of them, as for any `torch.optim.Optimizer`; with names, from
            `model.named_parameters()`, for an optimizer that has several rules.
        optimizer: a name in the zoo or on the Hugging Face Hub, such as "hf://user/repo", or the
            file or run folder of an optimizer of one's own.
        lr: factor on the optimizer's step; it was trained for 1. May differ by group, and
            schedulers may change it. A warning says so if it is as low as Adam's rates.
        weight_decay: λ of decoupled weight decay. May differ by group.
        decay_lr: the rate that λ is multiplied by. At 1e-3, AdamW's own, λ is as strong as AdamW's,
            whatever lr is, unless it is 0. None: lr, so that the decay follows its schedule. May
            differ by group.
        maximize: whether to go up instead of down. May differ by group.
        at_rest: whether a coordinate keeps its value, but for weight decay, until its gradient is
            first not 0: padding rows, masked and unused weights. May differ by group.
        state_dtype: the dtype of the LSTM's part of h: torch.float32 or, in half the memory,
            torch.bfloat16. Moments and counts stay in float32. May differ by group.
        steps: T, for an optimizer that has a schedule or a clock in parts of a run; what it was
            trained for, or none, if not given. May differ by group.
        guard: whether steps that are not finite or far too long are replaced by safe ones, and
            counted in `guarded`.
        foreach, fused: ignored; there is one way of computing a step.
        capturable, differentiable: False, as a step cannot be captured or differentiated.
            In a graph of `torch.compile` a step is one operation.

    The arithmetic is done in float32; updates are rounded to the parameter's dtype.
    A parameter whose gradient is None keeps its value and its h. Each process moves its own part of
    a DTensor. `identity` has the optimizer's name and a fingerprint of its rule and φ, and so have
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
        # The name is pinned, so that a state says which commit of the Hub it belongs to.
        optimizer = zoo.pinned(optimizer)
        path = zoo.path(optimizer)
        self._parts = read_groups(path)
        if guard:
            self._parts = [dataclasses.replace(x, guard=x.guard or Guard()) for x in self._parts]
        self._identity = {"optimizer": str(optimizer), "fingerprint": fingerprint(path)}
        self._names: dict[Tensor, str] = {}
        self._handle = in_graph.handle_of(self._move_some)
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
        """Move every parameter that has a gradient; return the result of the closure, if any."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # By way of `__dict__`, so that a graph does not depend on the rates in the groups.
        groups = self.__dict__["param_groups"]
        if torch.compiler.is_compiling() and in_graph.fits_a_graph(groups):
            in_graph.step(self._handle, groups)
        else:
            self._move_all()
        return loss

    # What `torch.compile` cannot take as one operation, it leaves as it is.
    @torch._disable_dynamo  # pyright: ignore[reportPrivateImportUsage]
    def _move_all(self) -> None:
        """Move every parameter that has a gradient."""
        moving = [Moving(m, m.p, m.p.grad) for m in self._members() if m.p.grad is not None]
        move(moving, self._parts, self.state)

    def _move_some(
        self, numbers: Sequence[int], thetas: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> None:
        """Move parameters, by their numbers, whose θ and ∇ are these."""
        members = self._members()
        moving = map(Moving, (members[k] for k in numbers), thetas, gradients)
        move([*moving], self._parts, self.state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, which may have its own options, such as an lr."""
        if isinstance(param_group, dict) and "params" not in param_group:
            raise UserError(
                f"a group has {_few(param_group)} and no params; try "
                "{'params': model.parameters()}"
            )
        super().add_param_group(param_group)
        # PyTorch comes first, as it completes the group.
        group = self.param_groups[-1]
        group.update(self._identity)
        named = [*zip(group["params"], group.get("param_names", ()), strict=False)]
        # Tied weights have several names; the first one counts.
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
        """Return the state as PyTorch does; parameters that FSDP1 has flattened, by feature."""
        given = super().state_dict()
        for index, member in zip(_ids(given), self._members(), strict=True):
            if hasattr(member.p, shard.IS_FLAT) and index in given["state"]:
                given["state"][index] = shard.by_feature(given["state"][index], member.p)
        return given

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of `state_dict`, as if there had been no interruption.

        Raises:
            UserError: if it is no state, or that of another optimizer: of another rule or φ.
            ValueError: if its groups are not as many or as large as these, from PyTorch.
        """
        require_kind("state_dict", state_dict, dict, "a dict; try optimizer.state_dict()")
        last: dict[str, Any] = {}
        before = self.state, self.param_groups
        # A hook of the caller's may change the state; this hook runs last and sees what is loaded.
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
            # By now PyTorch has replaced them.
            self.state, self.param_groups = before
            raise

    def __getstate__(self) -> dict[str, Any]:
        own = {"_parts": self._parts, "_identity": self._identity, "_names": self._names}
        return super().__getstate__() | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.state = States(dict, self.state)
        if "_handle" not in self.__dict__:
            self._handle = in_graph.handle_of(self._move_some)
        # States from before there were these options do not have them.
        for group in self.param_groups:
            for name, value in (BEFORE | self._identity).items():
                group.setdefault(name, value)
        self._forget()

    def _forget(self) -> None:
        """Forget all members, because a copy of the optimizer must not share them."""
        self._seen: Any = None
        self._kept: list[Member] = []

    def _members(self) -> list[Member]:
        """Return every parameter of every group; the same members until the groups change."""
        seen = [
            (id(group), [*map(id, group["params"])], [*group.get("param_names", ())])
            for group in self.param_groups
        ]
        if seen != self._seen:
            # The members keep these objects alive, so their ids stay theirs.
            self._kept, self._seen = list(self._read_groups()), seen
        return self._kept

    def _read_groups(self) -> Iterator[Member]:
        """Return every parameter of every group."""
        named: list[tuple[Tensor, str | None, dict[str, Any]]] = []
        for group in self.param_groups:
            params, names = group["params"], group.get("param_names", [])
            # If a user replaces the parameters of a group, its names may not fit any more.
            names = names if len(names) == len(params) else [None] * len(params)
            pairs = zip(params, names, strict=True)
            named += [(p, self._names.get(p, name), group) for p, name in pairs]
        depth = wrappers(name for _, name, _ in named)
        for p, name, group in named:
            number = number_of(self._parts, name, shape_of(p), depth)
            yield Member(p, number, self._parts[number], group, name)

    def _own(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return a state, having checked that it is an optimizer's, and this optimizer's."""
        if not {"state", "param_groups"} <= given.keys():
            raise UserError(
                f"state_dict has {_few(given)} where state and param_groups are expected; try "
                "optimizer.state_dict()"
            )
        require_kind("the state of state_dict", given["state"], dict, "a dict")
        own = self._identity
        for group in given["param_groups"]:
            # States from before there were fingerprints are accepted if their form fits.
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
    """Return the key that a state has for each parameter of every group."""
    return chain.from_iterable(group["params"] for group in given["param_groups"])


def _few(keys: Iterable[Any]) -> str:
    """Return the first of some keys, for a sentence."""
    return ", ".join(map(str, islice(keys, 3))) or "nothing"
