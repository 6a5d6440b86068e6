"""Longer steps for larger tensors, in PyTorch; `optimizers/proportional.py` has its equations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent._errors import UserError
from metadescent.torch.rule import Rule, Shapes, Tensors

SIZE = 0.03


class Proportional(Rule):
    """Updates scaled by a learned power of θ's size, tensor by tensor.

    Arguments:
        rate, floor, power, ceiling: as for `metadescent.optimizers.Proportional`; φ has all but the
        last.

    Raises:
        UserError: on use, if θ is not given.

    Example:
        >>> import torch
        >>> m, theta, u = Proportional(), torch.full((2,), 0.06), torch.tensor([1.0, -3.0])
        >>> g, _ = m.update_of([theta], {"p": torch.tensor([0.0, -20.0, 1.0])}, u, {})
        >>> g.round(decimals=4).tolist()
        [2.0, -6.0]
    """

    coordinatewise = False

    def __init__(
        self, rate: float = 1.0, floor: float = 0.03, power: float = 1.0, ceiling: float = 0.3
    ):
        """Keep the ceiling."""
        self.ceiling = ceiling

    def phi_shapes(self) -> Shapes:
        """Return that of p."""
        return {"p": (3,)}

    def state_shapes(self) -> Shapes:
        """Return none."""
        return {}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Refuse: a row alone does not say which coordinates make a tensor."""
        raise UserError("proportional measures steps by θ and was given none; use update_of")

    def update_of(
        self,
        params: Sequence[Tensor],
        phi: Tensors,
        gradient: Float[Tensor, " n"],
        state: Tensors,
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Scale the part of the row that each parameter has."""
        rate, floor, power = phi["p"]
        parts = gradient.split([p.numel() for p in params])
        scaled = [gradient[:0]]
        for u, theta in zip(parts, params, strict=True):
            if u.numel():
                square = theta.reshape(-1).to(u).square().mean()
                size = torch.sqrt(square + torch.exp(2 * floor)).clamp(max=self.ceiling)
                scaled.append(torch.exp(rate + power * torch.log(size / SIZE)) * u)
        return torch.cat(scaled), state


NAMED = {"proportional": Proportional}
