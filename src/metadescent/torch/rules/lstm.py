"""The LSTM optimizer of section 2.1 in PyTorch; `optimizers/lstm.py` has its equations.

Layer l keeps its h and c, units × coordinates, as `h0`, `c0`, `h1`, `c1`, ….
"""

import math
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from metadescent.torch import native
from metadescent.torch.rule import Params, Rule, Shapes, State, Tensors


class LSTMRule(Rule):
    """A stack of LSTM layers with forget gates, the same for every coordinate."""

    def __init__(
        self, layers: Sequence[int] = (20, 20), p: float | None = 10.0, scale: float = 0.1
    ):
        self.layers, self.p, self.scale = tuple(layers), p, scale
        self.inputs = 1 if p is None else 2

    @classmethod
    def on_features(cls, count: int, layers: Sequence[int], scale: float) -> "LSTMRule":
        """Return an LSTM to `run` on `count` features, which another rule computes."""
        m = cls(layers, scale=scale)
        m.inputs = count
        return m

    def phi_shapes(self) -> Shapes:
        fan_in = (self.inputs, *self.layers)
        shapes: Shapes = {"output/weight": (1, fan_in[-1]), "output/bias": (1,)}
        for number, (n, units) in enumerate(zip(fan_in[:-1], self.layers, strict=True)):
            shapes[f"cells/{number}/weight_ih"] = (4 * units, n)
            shapes[f"cells/{number}/weight_hh"] = (4 * units, units)
            shapes[f"cells/{number}/bias"] = (4 * units,)
        return shapes

    def state_shapes(self) -> Shapes:
        return {f"{k}{n}": (units,) for n, units in enumerate(self.layers) for k in "hc"}

    def hidden(self) -> Collection[str]:
        return self.state_shapes()

    def update(
        self, phi: Tensors, gradient: Float[Tensor, " n"], state: State, params: Params = ()
    ) -> tuple[Float[Tensor, " n"], State]:
        return self.run(phi, self.features(gradient), state)

    def run(
        self, phi: Tensors, x: Float[Tensor, "features n"], state: State
    ) -> tuple[Float[Tensor, " n"], State]:
        """Run the features of n coordinates through the stack."""
        numbers = range(len(self.layers))
        weights = [weight for number in numbers for weight in _weights_of(phi, number)]
        weights += [phi["output/weight"], phi["output/bias"]]
        # In the order of layers, as the kernel needs it; `state` may have leaves of another rule.
        after = {name: state[name] for name in self.state_shapes()}
        if native.fuses(x, weights, list(after.values())):
            return native.fused_update(x, weights, list(after.values()), self.scale), after
        for number in numbers:
            x, c = run_layer(phi, number, x, state)
            after |= {f"h{number}": x, f"c{number}": c}
        return self.emit(phi, x), after

    def features(self, gradient: Float[Tensor, " n"]) -> Float[Tensor, "_ n"]:
        """Return the stack's features of gradients: ∇ itself, or those of appendix A."""
        if self.p is None:
            return gradient[None]
        threshold = math.exp(-self.p)
        logarithm = gradient.abs().clamp_min(threshold).log() / self.p
        return torch.stack([logarithm, (gradient / threshold).clamp(-1.0, 1.0)])

    def emit(self, phi: Tensors, h: Float[Tensor, "_ n"]) -> Float[Tensor, " n"]:
        """Return g = scale · (w·h + b) for the last layer's h."""
        return self.scale * (phi["output/weight"][0] @ h + phi["output/bias"])


def run_layer(
    phi: Tensors, number: int, x: Float[Tensor, "features n"], state: State
) -> tuple[Float[Tensor, "hidden n"], Float[Tensor, "hidden n"]]:
    """Return the next h and c of one layer: c′ = σ(f)·c + σ(i)·tanh(g), h′ = σ(o)·tanh(c′)."""
    weights, h, c = _weights_of(phi, number), state[f"h{number}"], state[f"c{number}"]
    if native.fuses(x, weights, [h, c]):
        native.fused_renew(x, weights, [h, c])
        return h, c
    weight_ih, weight_hh, bias = weights
    # One matrix product instead of two.
    weight = torch.cat([weight_ih, weight_hh], dim=1)
    i, f, g, o = torch.addmm(bias[:, None], weight, torch.cat([x, h])).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _weights_of(phi: Tensors, number: int) -> list[Tensor]:
    """Return the weights of one layer: those of x, those of h, the bias."""
    return [phi[f"cells/{number}/{name}"] for name in ("weight_ih", "weight_hh", "bias")]


NAMED = {"lstm": LSTMRule}
