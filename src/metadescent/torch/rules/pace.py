"""A learned factor of time in PyTorch; `optimizers/pace.py` has its equations."""

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors


class PaceRule(Rule):
    """A factor that depends on the step alone."""

    # `linear` only says where φ began.
    def __init__(self, horizon: float = 1000.0, corners: int = 6, linear: bool = False):
        self.horizon, self.corners = horizon, corners

    def phi_shapes(self) -> Shapes:
        return {"p": (self.corners,)}

    def state_shapes(self) -> Shapes:
        return {"t": ()}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        t = state["t"]
        place = (t / self.horizon).clamp(max=1.0) * (self.corners - 1)
        start, *gains = phi["p"]
        ramps = (p * (place - k).clamp(0.0, 1.0) for k, p in enumerate(gains))
        p = sum(ramps, torch.zeros_like(place) + start)
        return torch.exp(p) * gradient, {"t": t + 1}


NAMED = {"pace": PaceRule}
