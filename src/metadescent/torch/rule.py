"""m in PyTorch: what a rule does with a row of n coordinates.

    (g, h) = m(∇, h, φ)

A rule holds its options and no tensor. φ and h are dictionaries of tensors. φ has the paths of a
file; h has features first and coordinates last, as in the JAX rule of the same name.
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
    """The interface of m, without its φ."""

    coordinatewise = True
    """Whether coordinates do not depend on each other, so that any part of a row can be updated."""
    communicates = False
    """Whether coordinates of one parameter depend on those of another."""
    blockwise = True
    """Whether the rule takes a row block by block; otherwise it takes parameter by parameter."""
    horizon: float
    """T, for a rule with a schedule or a clock in parts of a run; 0 if T is left open."""

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

        The leaves of the state are those of `state_shapes` with an axis of length n appended, and
        those of `tensor_shapes` with an axis for the parameters. The rule may renew leaves in
        place, and then returns the same tensors. A rule that depends on θ is given the row's
        parameters.
        """

    def hidden(self) -> Collection[str]:
        """Return the leaves of h that are hidden units of an LSTM, and not moments or counts.

        A kernel may renew these leaves of several parameters in place, and they may be kept in
        bfloat16. In bfloat16 a moment of slow decay would not move, and a count would end at 256.
        """
        return ()

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        """Map ∇ of all coordinates of some parameters to their g, and renew their h.

        A rule that is not coordinatewise defines here what it does with the blocks of a row.
        """
        return row.each(lambda x, h: self.update(phi, x, h), gradient, self.hidden())

    def update_apart(
        self, phi: Tensors, gradients: Sequence[Tensor], row: Row, params: Params
    ) -> Float[Tensor, " n"] | None:
        """Do what `update_row` does, given a flat ∇ for each parameter, or return None.

        A rule defines this if its kernel reads gradients in place; others get them side by side.
        """
        return None

    def for_steps(self, steps: float | int) -> "Rule":
        """Return m with T = `steps`, if it has a `horizon`; otherwise return the rule itself."""
        if not hasattr(self, "horizon"):
            return self
        rule = copy.copy(self)
        rule.horizon = float(steps)
        return rule


def under(path: str, leaves: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """Return the leaves under a path, by the rest of their paths."""
    start = f"{path}/"
    return {name.removeprefix(start): x for name, x in leaves.items() if name.startswith(start)}


def put_under(path: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `under`."""
    return {f"{path}/{name}": x for name, x in leaves.items()}


class TensorByTensor(Rule):
    """A rule without h that scales each parameter's part of a row in relation to its θ."""

    coordinatewise = False

    @abstractmethod
    def scaled(self, phi: Tensors, u: Tensor, theta: Tensor, p: Tensor) -> Tensor:
        """Return u scaled; it is flat, as θ is. For a DTensor p both are this process's part."""

    def state_shapes(self) -> Shapes:
        return {}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        thetas = [local(p).reshape(-1) for p in params]
        parts = zip(gradient.split([x.numel() for x in thetas]), thetas, params, strict=True)
        # Empty parameters have no mean and are left out; [:0] is for the case that no part is left.
        g = [self.scaled(phi, u, theta.to(u), p) for u, theta, p in parts if p.numel()]
        return torch.cat([gradient[:0], *g]), state

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        return self.update(phi, gradient, {}, params)[0]
