"""LSTM+GAC (appendix D) in PyTorch; `optimizers/gac.py` has its equations."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.rule import Rule, Shapes, Tensors, under
from metadescent.torch.rules.lstm import LSTM, layer


class LSTMGAC(Rule):
    """The LSTM of the paper, some of whose cells average over all coordinates of the row.

    Arguments:
        layers, averaging, p, scale: as for `metadescent.optimizers.LSTMGAC`.

    Example:
        >>> LSTMGAC(layers=(4,)).coordinatewise
        False
    """

    coordinatewise = False
    communicates = True

    def __init__(
        self,
        layers: Sequence[int] = (20, 20),
        averaging: int = 5,
        p: float | None = 10.0,
        scale: float = 0.1,
    ):
        """Keep the options."""
        self.lstm, self.averaging = LSTM(layers, p, scale), averaging

    def phi_shapes(self) -> Shapes:
        """Return the LSTM's."""
        return {f"lstm/{name}": shape for name, shape in self.lstm.phi_shapes().items()}

    def state_shapes(self) -> Shapes:
        """Return the LSTM's."""
        return self.lstm.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Run the gradients of all coordinates through the stack."""
        phi, after = under("lstm", phi), {}
        x = self.lstm.features(gradient)
        for number in range(len(self.lstm.layers)):
            h, c = layer(phi, number, x, state)
            x = average(h, self.averaging)
            after |= {f"h{number}": x, f"c{number}": c}
        return self.lstm.emit(phi, x), after


def average(h: Float[Tensor, "cells n"], count: int) -> Float[Tensor, "cells n"]:
    """Return h with each of its first `count` rows replaced by the row's mean.

    Example:
        >>> import torch
        >>> average(torch.tensor([[1.0, 3.0], [5.0, 6.0]]), 1).tolist()
        [[2.0, 2.0], [5.0, 6.0]]
    """
    averaging, alone = h[:count], h[count:]
    return torch.cat([averaging.mean(dim=1, keepdim=True).expand_as(averaging), alone])


NAMED = {"lstm-gac": LSTMGAC}
