"""m in PyTorch: what a rule does with a row of n coordinates.

    (g, h) = m(∇, h, φ)

A rule holds its options and no tensor. φ and h are dictionaries of tensors: φ by the paths that it
has in a file, h with features first and coordinates last, as in the JAX rule of the same name.
A new rule is one new file in `metadescent/torch/rules`, found by discovery.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.row import Row, Shapes, State, Tensors
from metadescent.torch.shard import local

Leaf = TypeVar("Leaf")
Params = Sequence[Tensor]


class Rule(ABC):
    """m without its φ: the interface."""

    coordinatewise = True
    """Whether no coordinate looks at another, so that any part of a row may be updated alone."""
    communicates = False
    """Whether coordinates of one parameter look at those of another."""
    blockwise = True
    """Whether it goes through a row block by block; otherwise parameter by parameter."""
    horizon: float
    """T, of a rule that has a schedule or a clock in parts of a run; 0 where it is open."""

    @abstractmethod
    def phi_shapes(self) -> Shapes:
        """Return the shape of each leaf of φ, by its path."""

    @abstractmethod
    def state_shapes(self) -> Shapes:
        """Return the shape of each leaf of one coordinate's h; h₀ is 0."""

    def tensor_shapes(self) -> Shapes:
        """Return the shape of each leaf of h that a parameter has as a whole; h₀ is 0 too."""
        return {}

    @abstractmethod
    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        """Map ∇ and h of n coordinates to their g and next h.

        Leaves of the state are those of `state_shapes` with an axis of length n appended, and those
        of `tensor_shapes` with one of as many as there are parameters. They may be renewed where
        they lie; those that are returned then are those that were given. The parameters whose row
        this is are given to a rule that looks at θ.
        """

    def hidden(self) -> Collection[str]:
        """Return the leaves of h that are hidden units of an LSTM, and no moments or counts.

        A kernel may renew those of several parameters where they lie, and they may be kept in
        bfloat16. A moment of slow decay would stand still there, and a count would end at 256.
        """
        return ()

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        """Map ∇ of all coordinates of some parameters to their g, and renew their h.

        A rule that is not coordinatewise says here what it does with the blocks of a row.
        """
        return row.each(lambda x, h: self.update(phi, x, h), gradient, self.hidden())

    def update_apart(
        self, phi: Tensors, gradients: Sequence[Tensor], row: Row, params: Params
    ) -> Float[Tensor, " n"] | None:
        """Do what `update_row` does, given ∇ of each parameter, flat, or return None.

        A rule whose kernel reads gradients where they lie says so; others get them side by side.
        """
        return None

    def for_steps(self, steps: float | int) -> "Rule":
        """Return m with T = `steps`, if it has a `horizon`; it is itself otherwise."""
        if not hasattr(self, "horizon"):
            return self
        rule = copy.copy(self)
        rule.horizon = float(steps)
        return rule


def under(path: str, leaves: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """Return the leaves under a path, by the rest of theirs."""
    start = f"{path}/"
    return {name.removeprefix(start): x for name, x in leaves.items() if name.startswith(start)}


def put_under(path: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `under`."""
    return {f"{path}/{name}": x for name, x in leaves.items()}


class TensorByTensor(Rule):
    """A rule without h that scales each parameter's part of a row, beside its θ."""

    coordinatewise = False

    @abstractmethod
    def scaled(self, phi: Tensors, u: Tensor, theta: Tensor, p: Tensor) -> Tensor:
        """Return u scaled, which is flat as θ is; of a DTensor p both are this process's part."""

    def state_shapes(self) -> Shapes:
        return {}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        thetas = [local(p).reshape(-1) for p in params]
        parts = zip(gradient.split([x.numel() for x in thetas]), thetas, params, strict=True)
        # Of no coordinates there is no mean, so empty ones are left out; [:0] is for no part.
        g = [self.scaled(phi, u, theta.to(u), p) for u, theta, p in parts if p.numel()]
        return torch.cat([gradient[:0], *g]), state

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        return self.update(phi, gradient, {}, params)[0]
