"""RNNprop in PyTorch; `optimizers/rnnprop.py` has its equations and their source."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors, put_under, under
from metadescent.torch.rules.lstm import LSTMRule


class RNNPropRule(Rule):
    """The paper's LSTM on gradients that are normalized by their moments."""

    def __init__(self, layers: Sequence[int] = (20, 20), beta: float = 0.95, scale: float = 0.1):
        self.lstm, self.beta = LSTMRule(layers, scale=scale), beta

    def phi_shapes(self) -> Shapes:
        return put_under("lstm", self.lstm.phi_shapes())

    def state_shapes(self) -> Shapes:
        return {"m": (), "s": (), "w": ()} | self.lstm.state_shapes()

    def hidden(self) -> Collection[str]:
        return self.lstm.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        m, s, w = state["m"], state["s"], state["w"]
        m.lerp_(gradient, 1 - self.beta)
        grow_(s, squares(gradient), self.beta)
        w.lerp_(gradient.new_ones(()), 1 - self.beta)  # 1 − βᵗ
        # x is written into its final place: on a long row only the number of passes matters.
        x = gradient.new_empty((2, *gradient.shape))
        root = w.sqrt()
        torch.mul(gradient, root, out=x[1]).div_(s)
        torch.div(m, root.mul_(s), out=x[0])  # m / w / √(v / w)
        g, h = self.lstm.run(under("lstm", phi), x, state)
        return g, {"m": m, "s": s, "w": w} | h


def squares(gradient: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return ∇² + ε²."""
    return gradient.square().add_(1e-24)


def grow_(s: Float[Tensor, " n"], squares: Float[Tensor, " n"], beta: float) -> None:
    """Set s to √(β s² + (1 − β)(∇² + ε²)), the next root of v, in place and in three passes."""
    torch.sqrt((squares * (1 - beta)).addcmul_(s, s, value=beta), out=s)


NAMED = {"rnnprop": RNNPropRule}
