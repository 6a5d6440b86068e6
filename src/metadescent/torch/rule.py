"""m in PyTorch: what a rule does with a row of n coordinates.

    (g, h) = m(∇, h, φ)

A rule holds its options and no tensor. φ and h are dictionaries of tensors: φ by the paths that it
has in a file, h with features first and coordinates last, as in the JAX rule of the same name.
A new rule is one new file in `metadescent/torch/rules`, found by discovery.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Tensor]
Params = Sequence[Tensor]


class Rule(ABC):
    """m without its φ: the interface."""

    coordinatewise = True
    """Whether no coordinate looks at another, so that a row may be updated block by block."""
    communicates = False
    """Whether coordinates of one parameter look at those of another."""

    @abstractmethod
    def phi_shapes(self) -> Shapes:
        """Return the shape of each leaf of φ, by its path."""

    @abstractmethod
    def state_shapes(self) -> Shapes:
        """Return the shape of each leaf of one coordinate's h; h₀ is 0."""

    @abstractmethod
    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Map ∇ and h of n coordinates to their g and next h.

        Leaves of the state are those of `state_shapes` with an axis of length n appended. They may
        be renewed where they lie; those that are returned then are those that were given. The
        parameters whose row this is are given unless the rule is coordinatewise.
        """


def under(path: str, leaves: Tensors) -> Tensors:
    """Return the leaves under a path, by the rest of theirs."""
    start = f"{path}/"
    return {name.removeprefix(start): x for name, x in leaves.items() if name.startswith(start)}


def put_under(path: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `under`."""
    return {f"{path}/{name}": x for name, x in leaves.items()}


def tensor_by_tensor(
    scaled: Callable[[Tensor, Tensor], Tensor], row: Float[Tensor, " n"], params: Params
) -> Float[Tensor, " n"]:
    """Return the row with each parameter's part u scaled beside its θ, both flat."""
    parts = row.split([p.numel() for p in params])
    pairs = zip(parts, params, strict=True)
    # Of no coordinates there is no mean, so empty parts are left out; row[:0] is for no part.
    return torch.cat([row[:0], *(scaled(u, p.reshape(-1).to(u)) for u, p in pairs if u.numel())])
