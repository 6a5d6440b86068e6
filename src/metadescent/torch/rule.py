"""m in PyTorch: what a rule does with a row of n coordinates.

    (g, h) = m(∇, h, φ)

A rule holds its options and no tensor. φ and h are dictionaries of tensors: φ by the paths that it
has in a file, h with features first and coordinates last, as in the JAX rule of the same name.
A new one is one new file in `metadescent/torch/rules`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Tensor]


class Rule(ABC):
    """m without its φ: the interface.

    Example:
        >>> import torch
        >>> class Descent(Rule):
        ...     def phi_shapes(self):
        ...         return {"rate": ()}
        ...     def state_shapes(self):
        ...         return {}
        ...     def update(self, phi, gradient, state):
        ...         return -phi["rate"] * gradient, state
        >>> Descent().update({"rate": torch.tensor(0.5)}, torch.ones(2), {})[0].tolist()
        [-0.5, -0.5]
    """

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
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Map ∇ and h of n coordinates to their g and next h.

        Leaves of the state are those of `state_shapes` with an axis of length n appended. They may
        be renewed where they lie; those that are returned then are those that were given.
        """

    def update_of(
        self,
        params: Sequence[Tensor],
        phi: Tensors,
        gradient: Float[Tensor, " n"],
        state: Tensors,
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Do as `update` with the row of these parameters; for rules that need θ to override."""
        del params
        return self.update(phi, gradient, state)


def under(path: str, phi: Tensors) -> Tensors:
    """Return the leaves of φ under a path, by the rest of theirs.

    Example:
        >>> import torch
        >>> list(under("lstm", {"lstm/output/bias": torch.zeros(1), "other": torch.zeros(1)}))
        ['output/bias']
    """
    start = f"{path}/"
    return {name.removeprefix(start): x for name, x in phi.items() if name.startswith(start)}
