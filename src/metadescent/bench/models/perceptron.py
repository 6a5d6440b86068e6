"""Perceptrons with several layers, and products of linear maps."""

from itertools import pairwise

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.models.layers import (
    Layer,
    Norm,
    Plan,
    affine,
    apply_affine,
    drop_out,
    glorot,
    norm_parameters,
    normalize,
    start_for,
)
from metadescent.bench.models.supervised import Network


class MLP(Network):
    """x ← dropout(activation(norm(x w + b))), layer by layer, and x w + b at the end.

    The weights are He's before rectifiers, else Glorot's; the biases are 0.
    """

    widths: tuple[int, ...]
    activation: str = "relu"
    norm: Norm = "none"
    dropout: float = 0.0

    def plan(self) -> Plan:
        *pairs, last = pairwise(self.widths)
        start = start_for(self.activation)
        hidden = [affine(*pair, start) | norm_parameters(self.norm, pair[1]) for pair in pairs]
        return [*hidden, affine(*last)]

    def apply(
        self, theta: list[Layer], x: Float[Array, "batch ..."], key: PRNGKeyArray | None
    ) -> Float[Array, "batch outputs"]:
        *hidden, out = theta
        x = x.reshape(len(x), -1)
        for number, layer in enumerate(hidden):
            x = normalize(self.norm, layer, apply_affine(layer, x))
            x = getattr(jax.nn, self.activation)(x)
            x = drop_out(x, self.dropout, None if key is None else jax.random.fold_in(key, number))
        return apply_affine(out, x)


class DeepLinear(Network):
    """W₁ W₂ … x: f has saddles, although the map is linear. The weights are Glorot's.

    A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", 2014.
    """

    widths: tuple[int, ...]

    def plan(self) -> Plan:
        return [glorot(*pair) for pair in pairwise(self.widths)]

    def apply(
        self,
        theta: list[Float[Array, "_ _"]],
        x: Float[Array, "batch inputs"],
        key: PRNGKeyArray | None,
    ) -> Float[Array, "batch outputs"]:
        del key
        for w in theta:
            x = x @ w
        return x
