"""LSTM+GAC (appendix D) in PyTorch; `optimizers/appendix_d/gac.py` has its equations."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch.row import Block, Row
from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors, put_under, under
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

    def hidden(self) -> Collection[str]:
        return self.lstm.hidden()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        whole = slice(0, len(gradient))
        leaves, blocks = {k: [x] for k, x in state.items()}, [Block(whole, slice(0, 1), whole)]
        row = Row(leaves, blocks, gradient.device)
        return self.update_row(phi, gradient, row, params), state

    def update_row(
        self, phi: Tensors, gradient: Float[Tensor, " n"], row: Row, params: Params
    ) -> Float[Tensor, " n"]:
        phi, numbers = under("lstm", phi), range(len(row.blocks))
        h = [row.take(part) for part in row.blocks]
        x = [self.lstm.features(gradient[part.columns]) for part in row.blocks]
        for layer in range(len(self.lstm.layers)):
            row.for_each(lambda k, layer=layer, x=x: _renew(phi, layer, x[k], h[k]), numbers)
            # The mean replaces h for the next layer and for this layer's next step. c is unchanged.
            x = [state[f"h{layer}"] for state in h]
            averaging = [y[: self.averaging] for y in x]
            total = sum((y.sum(dim=1, keepdim=True) for y in averaging), gradient.new_zeros(()))
            for y in averaging:
                y.copy_(total / len(gradient))
        for part, state in zip(row.blocks, h, strict=True):
            row.put(part, state, state)
        return torch.cat([gradient[:0], *(self.lstm.emit(phi, y) for y in x)])


def _renew(phi: Tensors, layer: int, x: Float[Tensor, "features n"], state: State) -> None:
    """Replace h and c of one layer by their next values."""
    for name, y in zip((f"h{layer}", f"c{layer}"), run_layer(phi, layer, x, state), strict=True):
        if y is not state[name]:
            state[name].copy_(y)


NAMED = {"lstm-gac": LSTMGACRule}
