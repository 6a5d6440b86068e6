"""LSTM+GAC (appendix D) in PyTorch; `optimizers/appendix_d/gac.py` has its equations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Params, Rule, Shapes, Tensors, put_under, under
from metadescent.torch.rules.lstm import LSTMRule, run_layer


class LSTMGACRule(Rule):
    """The LSTM of the paper, some of whose cells average over all coordinates of the row."""

    coordinatewise = False
    communicates = True

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        averaging: int = 5,
        p: float | None = 10.0,
        scale: float = 0.1,
    ):
        self.lstm, self.averaging = LSTMRule(layers, p, scale), averaging

    def phi_shapes(self) -> Shapes:
        return put_under("lstm", self.lstm.phi_shapes())

    def state_shapes(self) -> Shapes:
        return self.lstm.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        phi, after = under("lstm", phi), {}
        x = self.lstm.features(gradient)
        for number in range(len(self.lstm.layers)):
            h, c = run_layer(phi, number, x, state)
            # The mean is what goes on: up, and to this layer's next step. c stays as it is.
            x = _averaged(h, self.averaging)
            after |= {f"h{number}": x, f"c{number}": c}
        return self.lstm.emit(phi, x), after


def _averaged(h: Float[Tensor, "cells n"], count: int) -> Float[Tensor, "cells n"]:
    """Return h with each of its first `count` rows replaced by the row's mean."""
    averaging, alone = h[:count], h[count:]
    return torch.cat([averaging.mean(dim=1, keepdim=True).expand_as(averaging), alone])


NAMED = {"lstm-gac": LSTMGACRule}
