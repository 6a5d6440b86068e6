"""Momentum that an LSTM weighs, in PyTorch; `optimizers/modulated.py` has its equations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors, under
from metadescent.torch.rules.anytime import Anytime


class Modulated(Rule):
    """An LSTM that weighs the coordinates of the gradient's momentum.

    Arguments:
        layers, betas, clock, scale, power: as for `metadescent.optimizers.Modulated`.

    Example:
        >>> sorted(Modulated(layers=(4,), betas=(0.9,)).state_shapes())
        ['c0', 'h0', 'm0', 's0', 't', 'w0']
    """

    def __init__(
        self,
        layers: Sequence[int] = (20,),
        betas: Sequence[float] = (0.9, 0.99),
        clock: float = 1000.0,
        scale: float = 0.1,
        power: float = 0.8,
    ):
        """Keep the options."""
        del power  # φ has it
        self.anytime = Anytime(layers, betas, clock=clock, scale=scale)

    def phi_shapes(self) -> Shapes:
        """Return the LSTM's, and the power."""
        shapes = self.anytime.phi_shapes()
        return {"p": ()} | {f"anytime/{name}": shape for name, shape in shapes.items()}

    def state_shapes(self) -> Shapes:
        """Return those of `anytime`."""
        return self.anytime.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Weigh n coordinates."""
        x, moments = self.anytime.features(gradient, state)
        weight, h = self.anytime.lstm.run(under("anytime/lstm", phi), x, state)
        ahead = torch.lerp(moments["m0"], gradient, 1 - self.anytime.betas[0])
        last = len(self.anytime.betas) - 1
        size = moments[f"s{last}"].log() - moments[f"w{last}"].log() / 2
        return -torch.exp(weight - phi["p"] * size) * ahead, moments | h


NAMED = {"modulated": Modulated}
