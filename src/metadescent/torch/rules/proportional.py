"""Longer steps for larger tensors, in PyTorch; `optimizers/proportional.py` has its equations."""

import torch
from torch import Tensor

from metadescent.torch.rule import Shapes, TensorByTensor, Tensors
from metadescent.torch.shard import mean_square

SIZE = 0.03


class ProportionalRule(TensorByTensor):
    """Updates scaled by a learned power of θ's size, tensor by tensor."""

    # All numbers but the ceiling are in φ.
    def __init__(
        self, rate: float = 1.0, floor: float = 0.03, power: float = 1.0, ceiling: float = 0.3
    ):
        self.ceiling = ceiling

    def phi_shapes(self) -> Shapes:
        return {"p": (3,)}

    def scaled(self, phi: Tensors, u: Tensor, theta: Tensor, p: Tensor) -> Tensor:
        rate, floor, power = phi["p"]
        square = mean_square(theta, p)
        size = torch.sqrt(square + torch.exp(2 * floor)).clamp(max=self.ceiling)
        return torch.exp(rate + power * torch.log(size / SIZE)) * u


NAMED = {"proportional": ProportionalRule}
