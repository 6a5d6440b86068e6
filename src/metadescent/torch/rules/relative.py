"""Steps as long as θ is, in PyTorch; `optimizers/relative.py` has its equations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent._errors import UserError
from metadescent.torch.rule import Rule, Shapes, Tensors


class Relative(Rule):
    """Updates scaled to a learned part of θ, tensor by tensor.

    Arguments:
        rate, floor, ceiling: as for `metadescent.optimizers.Relative`; of these φ, has the first
        two.

    Raises:
        UserError: on use, if θ is not given.

    Example:
        >>> import torch
        >>> m, theta, u = Relative(), torch.full((4,), 2.0), torch.tensor([1.0, -1.0, 1.0, 1.0])
        >>> g, _ = m.update_of([theta], {"p": torch.tensor([0.1, 1e-6]).log()}, u, {})
        >>> g.mul(10).round().tolist()
        [2.0, -2.0, 2.0, 2.0]
    """

    coordinatewise = False

    def __init__(self, rate: float = 0.03, floor: float = 0.1, ceiling: float = 10.0):
        """Keep the ceiling."""
        self.ceiling = ceiling

    def phi_shapes(self) -> Shapes:
        """Return that of p."""
        return {"p": (2,)}

    def state_shapes(self) -> Shapes:
        """Return none."""
        return {}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Refuse: a row alone does not say which coordinates make a tensor."""
        raise UserError("relative measures steps by θ and was given none; use update_of")

    def update_of(
        self,
        params: Sequence[Tensor],
        phi: Tensors,
        gradient: Float[Tensor, " n"],
        state: Tensors,
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Scale the part of the row that each parameter has."""
        rate, floor = phi["p"].exp()
        parts = gradient.split([p.numel() for p in params])
        pairs = zip(parts, params, strict=True)
        scaled = [
            _scaled(u, p.reshape(-1).to(u), rate, floor, self.ceiling)
            for u, p in pairs
            if u.numel()
        ]
        return torch.cat([*scaled, gradient[:0]]), state


def _scaled(
    u: Float[Tensor, " n"],
    theta: Float[Tensor, " n"],
    rate: Tensor,
    floor: Tensor,
    ceiling: float,
) -> Float[Tensor, " n"]:
    largest = u.abs().amax()
    u = u / torch.where(largest > 0, largest, 1.0)
    square = u.square().mean()
    size = torch.sqrt(theta.square().mean() + floor**2)
    size = size * torch.rsqrt(1 + (size / ceiling) ** 2)
    return rate * size * u * torch.rsqrt(torch.where(square > 0, square, 1.0))


NAMED = {"relative": Relative}
