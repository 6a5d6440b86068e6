"""RNNprop in PyTorch; `optimizers/rnnprop.py` has its equations and their source."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors, under
from metadescent.torch.rules.lstm import LSTM


class RNNProp(Rule):
    """The LSTM of the paper behind gradients that are normalized by their moments.

    Arguments:
        layers, beta, scale: as for `metadescent.optimizers.RNNProp`.

    Example:
        >>> RNNProp(layers=(4,)).state_shapes()
        {'m': (), 's': (), 'w': (), 'h0': (4,), 'c0': (4,)}
    """

    def __init__(self, layers: Sequence[int] = (20, 20), beta: float = 0.95, scale: float = 0.1):
        """Keep the options."""
        self.lstm, self.beta = LSTM(layers, scale=scale), beta

    def phi_shapes(self) -> Shapes:
        """Return the LSTM's."""
        return {f"lstm/{name}": shape for name, shape in self.lstm.phi_shapes().items()}

    def state_shapes(self) -> Shapes:
        """Return those of m, √v, their weight, and the LSTM's h and c."""
        return {"m": (), "s": (), "w": ()} | self.lstm.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Normalize the gradients of n coordinates and run them through the LSTM."""
        m, s, w = state["m"], state["s"], state["w"]
        m.lerp_(gradient, 1 - self.beta)
        grow_(s, squares(gradient), self.beta)
        w.lerp_(gradient.new_ones(()), 1 - self.beta)  # 1 − βᵗ
        x = gradient.new_empty((2, *gradient.shape))
        root = w.sqrt()
        torch.mul(gradient, root, out=x[1]).div_(s)
        torch.div(m, root.mul_(s), out=x[0])
        g, h = self.lstm.run(under("lstm", phi), x, state)
        return g, {"m": m, "s": s, "w": w} | h


def squares(gradient: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return ∇² + ε²."""
    return gradient.square().add_(1e-24)


def grow_(s: Float[Tensor, " n"], squares: Float[Tensor, " n"], beta: float) -> None:
    """Make s √(β s² + (1 − β)(∇² + ε²)), the next root of v, where it lies, in three passes."""
    torch.sqrt((squares * (1 - beta)).addcmul_(s, s, value=beta), out=s)


NAMED = {"rnnprop": RNNProp}
