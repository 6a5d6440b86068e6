"""Rules with their φ from an optimizer's file, and which parameter goes to which (section 3.3).

The file of one optimizer is a partition of one group, which takes everything. As in
`optimizers/partitioned.py` the first group that takes a parameter has it; the path of a parameter
is its name, with slashes for dots.
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
"""Parts of parameters' names that are not the model's, wherever they stand, and whose they are."""


@dataclass(frozen=True)
class Group:
    """What a group takes, its rule, its φ, and its guard if it has one."""

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
        """Return φ on a device, where it stays."""
        if device not in self._copies:
            self._copies[device] = {name: x.to(device) for name, x in self.phi.items()}
        return self._copies[device]


def read_groups(path: Path) -> list[Group]:
    """Read the groups of an optimizer from its file, unless PyTorch has no such rule."""
    spec = parse(read_card(path)["optimizer"])
    divided = isinstance(spec, Groups)
    pairs = [(takes, *guard_of(of)) for takes, of in (spec.groups if divided else [("*", spec)])]
    rules = [(takes, _rule(path, of)) for takes, of, _ in pairs]
    guards = [None if call is None else build(Guard, call) for _, _, call in pairs]
    # Where φ of each rule lies in the file.
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
    """Return twelve digits that tell an optimizer, its rule and φ, from every other."""
    leaves, made = read_tensors(path)
    digest = hashlib.sha256(str(parse(made["optimizer"])).encode())
    for name, leaf in sorted(leaves.items()):
        digest.update(f"\n{name} {leaf.dtype} {leaf.shape} ".encode() + leaf.data)
    return digest.hexdigest()[:12]


def wrappers(names: Iterable[str | None]) -> int:
    """Return how often `module.`, as of DDP, begins all names; a part of some is the model's."""
    parts = zip(*(_bare(name) for name in names if isinstance(name, str)), strict=False)
    return sum(1 for _ in takewhile(lambda side_by_side: {*side_by_side} == {"module"}, parts))


def number_of(
    groups: list[Group], name: str | None, shape: tuple[int, ...] | None, wrappers: int = 0
) -> int:
    """Return the number of the group that takes a parameter; a UserError if none does."""
    for number, group in enumerate(groups):
        # No pattern, so it takes parameters that have no names too.
        if group.takes == "*":
            return number
        if name is None:
            raise UserError(
                f"this optimizer has a rule for {group.takes} and the parameters have no names; "
                "pass model.named_parameters()"
            )
        require_kind("the name of a parameter", name, str, "a text; try model.named_parameters()")
        # A model may have a `module` of its own, so names with and without those count.
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
    """Return the parts of a parameter's name that no wrapper has put there; the last is its own."""
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
    # A copy, as the file's bytes cannot be written to; of no bytes PyTorch makes no tensor.
    if not leaf.data:
        return torch.zeros(leaf.shape)
    row = torch.frombuffer(bytearray(leaf.data), dtype=getattr(torch, leaf.dtype))
    return row.to(torch.float32).reshape(leaf.shape)
