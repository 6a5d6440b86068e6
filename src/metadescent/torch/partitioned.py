"""Rules with their φ from an optimizer's file, and which parameter goes to which (section 3.3).

A file with one optimizer counts as a partition with one group, which takes everything. As in
`optimizers/partitioned.py`, a parameter belongs to the first group that takes it. Its path is its
name, with slashes for dots.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor

from metadescent._errors import UserError, require_kind
from metadescent._names import build, discovered
from metadescent._spec import Call, Chain, Groups, Spec, guard_of, parse
from metadescent._text import nearest
from metadescent.torch.chained import ChainedRule
from metadescent.torch.guarded import Guard
from metadescent.torch.rule import Rule, Shapes, Tensors
from metadescent.zoo import tensors
from metadescent.zoo.cards import read_card
from metadescent.zoo.tensors import read_tensors, require_fit

WRAPPERS = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP1",
    "_fpw_module": "FSDP1 of PyTorch 1",
    "_checkpoint_wrapped_module": "activation checkpoints and offloads",
    "_forward_module": "Lightning Fabric",
    "_module": "Opacus",
}
"""Parts of parameters' names that wrappers add anywhere in a name, with the wrappers."""


@dataclass(frozen=True)
class Group:
    """The pattern of a group, its rule, its φ, and its guard if it has one."""

    takes: str
    rule: Rule
    phi: Tensors = field(repr=False)
    guard: Guard | None = None
    _copies: dict[torch.device, Tensors] = field(default_factory=dict, repr=False)

    @cached_property
    def shapes(self) -> Shapes:
        """The shape of each leaf of one coordinate's h."""
        return self.rule.state_shapes()

    @cached_property
    def tensor_shapes(self) -> Shapes:
        """The shape of each leaf of h that a parameter has as a whole."""
        return self.rule.tensor_shapes()

    def on(self, device: torch.device) -> Tensors:
        """Return φ on a device; it is kept there."""
        if device not in self._copies:
            self._copies[device] = {name: x.to(device) for name, x in self.phi.items()}
        return self._copies[device]


def read_groups(path: Path) -> list[Group]:
    """Read the groups of an optimizer from its file; raise a UserError if PyTorch lacks a rule."""
    spec = parse(read_card(path)["optimizer"])
    divided = isinstance(spec, Groups)
    pairs = [(takes, *guard_of(of)) for takes, of in (spec.groups if divided else [("*", spec)])]
    rules = [(takes, _rule(path, of)) for takes, of, _ in pairs]
    guards = [None if call is None else build(Guard, call) for _, _, call in pairs]
    # The paths in the file at which the φ of each rule begins.
    starts = [f"rules/{number}/" for number in range(len(rules))] if divided else [""]
    starts = [x + "rule/" if guard else x for x, guard in zip(starts, guards, strict=True)]
    leaves, _ = read_tensors(path)
    expected = {
        start + name: ("float32", shape)
        for start, (_, rule) in zip(starts, rules, strict=True)
        for name, shape in rule.phi_shapes().items()
    }
    require_fit(path, leaves, expected)
    groups = []
    for start, (takes, rule), guard in zip(starts, rules, guards, strict=True):
        phi = {name: _tensor(leaves[start + name]) for name in rule.phi_shapes()}
        groups.append(Group(takes, rule, phi, guard))
    return groups


def fingerprint(path: Path) -> str:
    """Return twelve digits that distinguish an optimizer, by its rule and φ, from all others."""
    leaves, made = read_tensors(path)
    digest = hashlib.sha256(str(parse(made["optimizer"])).encode())
    for name, leaf in sorted(leaves.items()):
        digest.update(f"\n{name} {leaf.dtype} {leaf.shape} ".encode() + leaf.data)
    return digest.hexdigest()[:12]


def wrappers(names: Iterable[str | None]) -> int:
    """Return how often all names begin with `module.`, as DDP adds it; some may be the model's."""
    parts = zip(*(_bare(name) for name in names if isinstance(name, str)), strict=False)
    return sum(1 for _ in takewhile(lambda side_by_side: {*side_by_side} == {"module"}, parts))


def number_of(
    groups: list[Group], name: str | None, shape: tuple[int, ...] | None, wrappers: int = 0
) -> int:
    """Return the number of the group that takes a parameter; a UserError if none does."""
    for number, group in enumerate(groups):
        # "*" takes parameters without names, too.
        if group.takes == "*":
            return number
        if name is None:
            raise UserError(
                f"this optimizer has a rule for {group.takes} and the parameters have no names; "
                "pass model.named_parameters()"
            )
        require_kind("the name of a parameter", name, str, "a text; try model.named_parameters()")
        # A model may have its own `module`, so names with and without that part count.
        bare = _bare(name)
        paths = name.split("."), *(bare[k:] for k in range(wrappers + 1))
        if any(fnmatch("/".join(path), group.takes) for path in paths):
            return number
    takes = ", ".join(group.takes for group in groups)
    raise UserError(
        f"no group takes the parameter {name} of shape {shape}, only {takes}; leave it to another "
        "optimizer, or rename it"
    )


def _bare(name: str) -> list[str]:
    """Return a parameter's name in parts, without those of wrappers; the last part always stays."""
    *parts, last = name.split(".")
    return [*(part for part in parts if part not in WRAPPERS), last]


def _rule(path: Path, spec: Spec) -> Rule:
    if isinstance(spec, Chain):
        return ChainedRule([_rule(path, link) for link in spec.links])
    rules = discovered("metadescent.torch.rules")
    name = spec.name if isinstance(spec, Call) else str(spec)
    if not isinstance(spec, Call) or name not in rules:
        raise UserError(
            f"{path} holds {name}, which metadescent.torch does not have; {nearest(name, rules)}"
        )
    return build(rules[name], spec)


def _tensor(leaf: tensors.Tensor) -> Tensor:
    # The file's bytes are read-only, so they are copied; PyTorch makes no tensor of no bytes.
    if not leaf.data:
        return torch.zeros(leaf.shape)
    row = torch.frombuffer(bytearray(leaf.data), dtype=getattr(torch, leaf.dtype))
    return row.to(torch.float32).reshape(leaf.shape)
