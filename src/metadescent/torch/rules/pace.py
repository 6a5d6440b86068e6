"""A learned factor of time in PyTorch; `optimizers/pace.py` has its equations."""

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors


class Pace(Rule):
    """A factor that depends on the step alone.

    Arguments:
        horizon, corners, linear: as for `metadescent.optimizers.Pace`.

    Example:
        >>> import torch
        >>> m = Pace(horizon=2.0, corners=2)
        >>> m.at({"p": torch.tensor([0.0, 1.0])}, torch.tensor([0.0, 1.0, 2.0, 9.0])).tolist()
        [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, horizon: float = 1000.0, corners: int = 6, linear: bool = False):
        """Keep the options; where φ began is none of its business."""
        self.horizon, self.corners = horizon, corners

    def phi_shapes(self) -> Shapes:
        """Return that of p."""
        return {"p": (self.corners,)}

    def state_shapes(self) -> Shapes:
        """Return that of t."""
        return {"t": ()}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Scale n coordinates."""
        t = state["t"]
        return torch.exp(self.at(phi, t)) * gradient, {"t": t + 1}

    def at(self, phi: Tensors, t: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return p(t/T)."""
        place = (t / self.horizon).clamp(max=1.0) * (self.corners - 1)
        start, *gains = phi["p"]
        ramps = (p * (place - k).clamp(0.0, 1.0) for k, p in enumerate(gains))
        return sum(ramps, torch.zeros_like(place) + start)


NAMED = {"pace": Pace}
