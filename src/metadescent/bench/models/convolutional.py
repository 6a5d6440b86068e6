"""Small convolutional networks: with and without normalization, and with residual connections.

Pictures are small and channels few, so that a step takes about a millisecond of one core.
"""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.models.layers import (
    Layer,
    Norm,
    Plan,
    affine,
    apply_affine,
    norm_parameters,
    normalize,
    small,
    start_for,
)
from metadescent.bench.models.supervised import Network
from metadescent.problems.convolution import convolve

Maps = Float[Array, "_ _ _ _"]  # batch × height × width × channels
Filters = dict[str, list[Layer]]


class Convolutional(Network):
    """x ← maxpool₂ₓ₂(activation(norm(w ∗ x + b))), 3 × 3, layer by layer; then an affine map.

    With patches, the first layer maps squares of pixels that do not overlap, and does not pool.
    """

    image: tuple[int, int, int]  # height × width × colours
    channels: tuple[int, ...]
    activation: str = "relu"
    norm: Norm = "none"
    patch: int = 1

    def plan(self) -> Plan:
        height, width, colours = self.image
        maps = (colours * self.patch**2, *self.channels)
        layers = [
            _filters(self._side_of(number), pair, self.activation, self.norm)
            for number, pair in enumerate(pairwise(maps))
        ]
        halved = len(self.channels) - (self.patch > 1)
        side = self.patch << halved
        units = (height // side) * (width // side) * self.channels[-1]
        # Maxima make the maps large; with larger weights the loss would begin far above log 10.
        return {"conv": layers, "out": [affine(units, 10, small)]}

    def apply(
        self, theta: Filters, x: Maps, key: PRNGKeyArray | None
    ) -> Float[Array, "batch outputs"]:
        del key
        for number, layer in enumerate(theta["conv"]):
            is_patches = self._side_of(number) == 1
            x = in_patches(x, self.patch) if is_patches else x
            x = normalize(self.norm, layer, _filtered(layer, x))
            x = getattr(jax.nn, self.activation)(x)
            x = x if is_patches else max_pooled(x)
        (out,) = theta["out"]
        return apply_affine(out, x.reshape(len(x), -1))

    def _side_of(self, number: int) -> int:
        return 1 if self.patch > 1 and number == 0 else 3


class Residual(Network):
    """x ← relu(x + norm(w₂ ∗ relu(norm(w₁ ∗ x)))), block by block, after one convolution.

    The outputs are an affine map of the mean over places. K. He, X. Zhang, S. Ren and J. Sun, "Deep
    residual learning for image recognition", 2016.
    """

    colours: int
    channels: int
    blocks: int
    norm: Norm = "batch"

    def plan(self) -> Plan:
        maps = [(self.colours, self.channels), *[(self.channels, self.channels)] * 2 * self.blocks]
        layers = [_filters(3, pair, "relu", self.norm) for pair in maps]
        return {"conv": layers, "out": [affine(self.channels, 10)]}

    def apply(
        self, theta: Filters, x: Maps, key: PRNGKeyArray | None
    ) -> Float[Array, "batch outputs"]:
        del key
        first, *inner = theta["conv"]
        x = max_pooled(jax.nn.relu(normalize(self.norm, first, _filtered(first, x))))
        for in_layer, out_layer in zip(inner[::2], inner[1::2], strict=True):
            y = jax.nn.relu(normalize(self.norm, in_layer, _filtered(in_layer, x)))
            x = jax.nn.relu(x + normalize(self.norm, out_layer, _filtered(out_layer, y)))
        (out,) = theta["out"]
        return apply_affine(out, x.mean((1, 2)))


def _filters(side: int, pair: tuple[int, int], activation: str, norm: Norm) -> dict[str, Any]:
    """Return the plan of a layer's filters; batch normalization would cancel a bias."""
    bias = {} if norm == "batch" else {"b": jnp.zeros(pair[1])}
    w = start_for(activation)(side, side, *pair)
    return {"w": w, **bias, **norm_parameters(norm, pair[1])}


def _filtered(layer: Layer, x: Maps) -> Maps:
    w = layer["w"]
    # With filters of one place this is a matrix product.
    y = x @ w[0, 0] if w.shape[0] == 1 else convolve(x, w)
    return y + layer["b"] if "b" in layer else y


def in_patches(x: Maps, side: int) -> Maps:
    """Return squares of pixels that do not overlap as places, with their pixels as channels."""
    n, height, width, channels = x.shape
    squares = x.reshape(n, height // side, side, width // side, side, channels)
    return squares.swapaxes(2, 3).reshape(n, height // side, width // side, side**2 * channels)


def max_pooled(x: Maps) -> Maps:
    """Return the maximum of each square of 2 × 2."""
    # With slices, because their derivatives are quicker than those of a maximum over axes.
    rows = jnp.maximum(x[:, 0::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
