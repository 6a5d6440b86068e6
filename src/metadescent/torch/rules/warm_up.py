"""Short steps at first, in PyTorch; `optimizers/warm_up.py` has its equations."""

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors


class WarmUpRule(Rule):
    """A factor that grows in proportion to the step, until it is 1."""

    def __init__(self, steps: float = 20.0):
        """Keep nothing, because `steps` only says where φ began."""

    def phi_shapes(self) -> Shapes:
        return {"p": (1,)}

    def state_shapes(self) -> Shapes:
        return {"t": ()}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        t = state["t"]
        factor = ((1 + t) * torch.exp(-phi["p"])).clamp(max=1.0)
        return factor * gradient, {"t": t + 1}


NAMED = {"warm-up": WarmUpRule}
