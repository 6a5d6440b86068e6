"""Short steps at first, in PyTorch; `optimizers/warm_up.py` has its equations."""

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors


class WarmUp(Rule):
    """A factor that grows in proportion to the step, until it is 1.

    Arguments:
        steps: as for `metadescent.optimizers.WarmUp`.

    Example:
        >>> import torch
        >>> m = WarmUp()
        >>> phi, t = {"p": torch.tensor([2.5]).log()}, torch.tensor([0.0, 1.0, 2.0])
        >>> m.update(phi, torch.ones(3), {"t": t})[0]
        tensor([0.4000, 0.8000, 1.0000])
    """

    def __init__(self, steps: float = 20.0):
        """Keep nothing; where φ began is none of its business."""
        del steps

    def phi_shapes(self) -> Shapes:
        """Return that of p."""
        return {"p": (1,)}

    def state_shapes(self) -> Shapes:
        """Return that of t."""
        return {"t": ()}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Scale n coordinates."""
        t = state["t"]
        factor = ((1 + t) * torch.exp(-phi["p"])).clamp(max=1.0)
        return factor * gradient, {"t": t + 1}


NAMED = {"warm-up": WarmUp}
