"""VGG-19 up to conv5_1 (Simonyan and Zisserman, 2014): the network of Gatys et al. (2015).

    conv1_1 conv1_2 · conv2_1 conv2_2 · conv3_1 … conv3_4 · conv4_1 … conv4_4 · conv5_1

Each convolution is 3 × 3 with a ReLU after it. A dot halves height and width by a mean over 2 × 2,
as Gatys et al. do; the network was trained with a maximum. Pictures are mirrored at their edges,
and the network was trained with zeros; `features.mirrored` says why. A smooth VGG-19 halves by
`features.halved`.
"""

from collections.abc import Collection
from functools import reduce
from itertools import pairwise
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent.problems.data.networks import load_network
from metadescent.problems.neural_art import features as ft

# By block.
_CHANNELS = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
_DEPTHS = {1: 2, 2: 2, 3: 4, 4: 4, 5: 1}
LAYERS = tuple(f"conv{block}_{n}" for block, depth in _DEPTHS.items() for n in range(1, depth + 1))
_WIDTHS = (3, *(_CHANNELS[int(layer[4])] for layer in LAYERS))
SHAPES = {
    f"{layer}.{part}": shape
    for layer, (before, after) in zip(LAYERS, pairwise(_WIDTHS), strict=True)
    for part, shape in (("kernel", (3, 3, before, after)), ("bias", (after,)))
}


class VGG19(ft.FeatureNetwork):
    """VGG-19 up to conv5_1, with mean-pooling."""

    # As by Gatys et al.: style at the first layer of each resolution.
    style_layers = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    content_layer = "conv4_2"
    least_size = 16

    layers: dict[str, tuple[Float[Array, "3 3 _ _"], Float[Array, " _"]]]
    # Whether it halves sizes by `halved`, or as Gatys et al. do.
    smooth: bool = eqx.field(static=True)

    def __init__(self, arrays: dict[str, np.ndarray], smooth: bool = False):
        """Take the arrays that `SHAPES` lists."""
        self.smooth = smooth
        self.layers = {layer: ft.weights(arrays, layer) for layer in LAYERS}

    def __call__(self, pixels: ft.Image, layers: Collection[str]) -> dict[str, ft.Features]:
        return ft.features_at(layers, pixels, LAYERS, self._step)

    def _step(self, layer: str, x: ft.Maps) -> ft.Maps:
        # A block begins with the mean of each square of 2 × 2 of the block before.
        if layer.endswith("_1") and layer != "conv1_1":
            x = ft.halved(x) if self.smooth else reduce(jnp.add, ft.windows(ft.even(x), 2, 2)) / 4
        return ft.relu_convolution(x, *self.layers[layer])


def load_vgg19(data_dir: str | Path | None = None, smooth: bool = False) -> VGG19:
    """Return VGG-19 with the weights in the data folder."""
    return VGG19(load_network("vgg19", SHAPES, data_dir), smooth)
