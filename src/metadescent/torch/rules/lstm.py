"""The LSTM optimizer of section 2.1 in PyTorch; `optimizers/lstm.py` has its equations.

Layer l keeps h and c as `h0`, `c0`, `h1`, `c1`, … of its units × coordinates.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch import native
from metadescent.torch.preprocess import log_and_sign
from metadescent.torch.rule import Rule, Shapes, Tensors


class LSTM(Rule):
    """A stack of LSTM layers with forget gates, the same for every coordinate.

    Arguments:
        layers, p, scale: as for `metadescent.LSTM`.

    Example:
        >>> m = LSTM(layers=(4,))
        >>> m.state_shapes(), m.phi_shapes()["cells/0/weight_ih"]
        ({'h0': (4,), 'c0': (4,)}, (16, 2))
    """

    def __init__(
        self, layers: Sequence[int] = (20, 20), p: float | None = 10.0, scale: float = 0.1
    ):
        """Keep the options."""
        self.layers, self.p, self.scale = tuple(layers), p, scale
        self.inputs = 1 if p is None else 2

    @classmethod
    def on_features(cls, count: int, layers: Sequence[int], scale: float) -> "LSTM":
        """Return an LSTM to `run` on that many features, which another rule makes of gradients."""
        m = cls(layers, scale=scale)
        m.inputs = count
        return m

    def phi_shapes(self) -> Shapes:
        """Return the shapes of each cell's weights and of the output's."""
        fan_in = (self.inputs, *self.layers)
        shapes: Shapes = {"output/weight": (1, fan_in[-1]), "output/bias": (1,)}
        for number, (n, units) in enumerate(zip(fan_in[:-1], self.layers, strict=True)):
            shapes[f"cells/{number}/weight_ih"] = (4 * units, n)
            shapes[f"cells/{number}/weight_hh"] = (4 * units, units)
            shapes[f"cells/{number}/bias"] = (4 * units,)
        return shapes

    def state_shapes(self) -> Shapes:
        """Return the units of h and c of every layer."""
        return {f"{k}{n}": (units,) for n, units in enumerate(self.layers) for k in "hc"}

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Run the gradients of n coordinates through the stack."""
        return self.run(phi, self.features(gradient), state)

    def run(
        self, phi: Tensors, x: Float[Tensor, "features n"], state: Tensors
    ) -> tuple[Float[Tensor, " n"], Tensors]:
        """Run the features of n coordinates through the stack."""
        numbers = range(len(self.layers))
        weights = [*chain.from_iterable(weights_of(phi, number) for number in numbers)]
        weights += [phi["output/weight"], phi["output/bias"]]
        after = {name: state[name] for name in self.state_shapes()}
        if native.can_run(x, weights, list(after.values())):
            return native.update(x, weights, list(after.values()), self.scale), after
        for number in numbers:
            x, c = layer(phi, number, x, state)
            after |= {f"h{number}": x, f"c{number}": c}
        return self.emit(phi, x), after

    def features(self, gradient: Float[Tensor, " n"]) -> Float[Tensor, "_ n"]:
        """Return what the stack sees of gradients."""
        return gradient[None] if self.p is None else log_and_sign(gradient, self.p)

    def emit(self, phi: Tensors, h: Float[Tensor, "_ n"]) -> Float[Tensor, " n"]:
        """Return g = scale · (w·h + b) for the h of the last layer."""
        return self.scale * (phi["output/weight"][0] @ h + phi["output/bias"])


def layer(
    phi: Tensors, number: int, x: Float[Tensor, "features n"], state: Tensors
) -> tuple[Float[Tensor, "hidden n"], Float[Tensor, "hidden n"]]:
    """Return the next h and c of one layer: c′ = σ(f)·c + σ(i)·tanh(g), h′ = σ(o)·tanh(c′)."""
    weights, h, c = weights_of(phi, number), state[f"h{number}"], state[f"c{number}"]
    if native.can_run(x, weights, [h, c]):
        native.renew(x, weights, [h, c])
        return h, c
    weight_ih, weight_hh, bias = weights
    # One matrix product instead of two.
    weight = torch.cat([weight_ih, weight_hh], dim=1)
    i, f, g, o = torch.addmm(bias[:, None], weight, torch.cat([x, h])).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def weights_of(phi: Tensors, number: int) -> list[Tensor]:
    """Return the weights of one layer: those of x, those of h, the bias."""
    return [phi[f"cells/{number}/{name}"] for name in ("weight_ih", "weight_hh", "bias")]


NAMED = {"lstm": LSTM}
