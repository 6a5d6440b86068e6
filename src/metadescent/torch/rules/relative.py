"""Steps in proportion to θ, in PyTorch; `optimizers/relative.py` has its equations."""

import torch
from torch import Tensor

from metadescent.torch.rule import Shapes, TensorByTensor, Tensors
from metadescent.torch.shard import largest, mean_square


class RelativeRule(TensorByTensor):
    """Updates scaled to a learned share of θ, tensor by tensor."""

    # The rate and the floor are in φ.
    def __init__(self, rate: float = 0.03, floor: float = 0.1, ceiling: float = 10.0):
        self.ceiling = ceiling

    def phi_shapes(self) -> Shapes:
        return {"p": (2,)}

    def scaled(self, phi: Tensors, u: Tensor, theta: Tensor, p: Tensor) -> Tensor:
        rate, floor = phi["p"].exp()
        # Divided by the largest first, so that no square is too large or too small for the dtype.
        top = largest(u, p)
        u = u / torch.where(top > 0, top, 1.0)
        square = mean_square(u, p)
        size = torch.sqrt(mean_square(theta, p) + floor**2)
        size = size * torch.rsqrt(1 + (size / self.ceiling) ** 2)
        return rate * size * u * torch.rsqrt(torch.where(square > 0, square, 1.0))


NAMED = {"relative": RelativeRule}
