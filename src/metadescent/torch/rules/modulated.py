"""Momentum weighed by an LSTM, in PyTorch; `optimizers/modulated.py` has its equations."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors, put_under, under
from metadescent.torch.rules.anytime import AnytimeRule


class ModulatedRule(Rule):
    """An LSTM that weighs the coordinates of the gradient's momentum."""

    def __init__(
        self,
        layers: Sequence[int] = (20,),
        betas: Sequence[float] = (0.9, 0.99),
        clock: float = 1000.0,
        scale: float = 0.1,
        power: float = 0.8,  # where φ began; it has no effect here
    ):
        self.anytime = AnytimeRule(layers, betas, clock=clock, scale=scale)

    def phi_shapes(self) -> Shapes:
        return {"p": ()} | put_under("anytime", self.anytime.phi_shapes())

    def state_shapes(self) -> Shapes:
        return self.anytime.state_shapes()

    def hidden(self) -> Collection[str]:
        return self.anytime.hidden()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        x, moments = self.anytime.features(gradient, state)
        weight, h = self.anytime.lstm.run(under("anytime/lstm", phi), x, state)
        ahead = torch.lerp(moments["m0"], gradient, 1 - self.anytime.betas[0])
        last = len(self.anytime.betas) - 1
        size = moments[f"s{last}"].log() - moments[f"w{last}"].log() / 2
        return -torch.exp(weight - phi["p"] * size) * ahead, moments | h


NAMED = {"modulated": ModulatedRule}
