"""Steps as long as θ is, in PyTorch; `optimizers/relative.py` has its equations."""

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, Tensors, tensor_by_tensor


class RelativeRule(Rule):
    """Updates scaled to a learned part of θ, tensor by tensor."""

    coordinatewise = False

    # φ has the rate and the floor.
    def __init__(self, rate: float = 0.03, floor: float = 0.1, ceiling: float = 10.0):
        self.ceiling = ceiling

    def phi_shapes(self) -> Shapes:
        return {"p": (2,)}

    def state_shapes(self) -> Shapes:
        return {}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        rate, floor = phi["p"].exp()

        def scaled(u: Tensor, theta: Tensor) -> Tensor:
            # By the largest first, so that no square is too large or too small for the dtype.
            largest = u.abs().amax()
            u = u / torch.where(largest > 0, largest, 1.0)
            square = u.square().mean()
            size = torch.sqrt(theta.square().mean() + floor**2)
            size = size * torch.rsqrt(1 + (size / self.ceiling) ** 2)
            return rate * size * u * torch.rsqrt(torch.where(square > 0, square, 1.0))

        return tensor_by_tensor(scaled, gradient, params), state


NAMED = {"relative": RelativeRule}
