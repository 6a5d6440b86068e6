"""Longer steps for larger tensors, in PyTorch; `optimizers/proportional.py` has its equations."""

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, Tensors, tensor_by_tensor

SIZE = 0.03


class ProportionalRule(Rule):
    """Updates scaled by a learned power of θ's size, tensor by tensor."""

    coordinatewise = False

    # φ has all but the ceiling.
    def __init__(
        self, rate: float = 1.0, floor: float = 0.03, power: float = 1.0, ceiling: float = 0.3
    ):
        self.ceiling = ceiling

    def phi_shapes(self) -> Shapes:
        return {"p": (3,)}

    def state_shapes(self) -> Shapes:
        return {}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        rate, floor, power = phi["p"]

        def scaled(u: Tensor, theta: Tensor) -> Tensor:
            square = theta.square().mean()
            size = torch.sqrt(square + torch.exp(2 * floor)).clamp(max=self.ceiling)
            return torch.exp(rate + power * torch.log(size / SIZE)) * u

        return tensor_by_tensor(scaled, gradient, params), state


NAMED = {"proportional": ProportionalRule}
