"""SqueezeNet 1.1 without its classifier (Iandola et al., 2016): much less to compute than VGG-19.

    conv1 ▽ fire2 fire3 ▽ fire4 fire5 ▽ fire6 fire7 fire8 fire9
    fire(x) = [relu(e₁ ∗ s), relu(e₃ ∗ s)],  s = relu(s₁ ∗ x)      squeeze, then expand

conv1 and e₃ are 3 × 3, s₁ and e₁ are 1 × 1, each with its bias. conv1 is computed at every second
place, and ▽ is the maximum over 3 × 3 at every second place.

Pictures are mirrored at their edges, so that conv1 and ▽ halve height and width and leave no pixel
out; `features.mirrored` says why. Away from the edges the features are those of the trained
network, which has zeros around e₃ and nothing around the rest.

A smooth SqueezeNet computes conv1 and the maxima at every place, and halves them by
`features.halved`.
"""

from collections.abc import Collection
from functools import reduce
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent.problems.data.networks import load_network
from metadescent.problems.neural_art import features as ft

# Channels that come in, channels they are squeezed to, and channels of each of two expansions.
_FIRES = {
    "fire2": (64, 16, 64),
    "fire3": (128, 16, 64),
    "fire4": (128, 32, 128),
    "fire5": (256, 32, 128),
    "fire6": (256, 48, 192),
    "fire7": (384, 48, 192),
    "fire8": (384, 64, 256),
    "fire9": (512, 64, 256),
}
_POOLED = ("fire2", "fire4", "fire6")
LAYERS = ("conv1", *_FIRES)
PARTS = ("squeeze1x1", "expand1x1", "expand3x3")


def _shapes() -> dict[str, tuple[int, ...]]:
    kernels = {"conv1": (3, 3, 3, 64)}
    for fire, (before, squeezed, expanded) in _FIRES.items():
        sizes = ((1, 1, before, squeezed), (1, 1, squeezed, expanded), (3, 3, squeezed, expanded))
        kernels |= {f"{fire}.{part}": size for part, size in zip(PARTS, sizes, strict=True)}
    return {
        f"{name}.{part}": shape
        for name, kernel in kernels.items()
        for part, shape in (("kernel", kernel), ("bias", kernel[3:]))
    }


SHAPES = _shapes()


class SqueezeNet(ft.FeatureNetwork):
    """SqueezeNet 1.1 up to fire9."""

    # As in VGG-19: style at the first layer of each resolution, content at the second layer of an
    # eighth of it. fire5 sees a window of 63 × 63 pixels, conv4_2 one of 84 × 84.
    style_layers = ("conv1", "fire2", "fire4", "fire6")
    content_layer = "fire5"
    least_size = 16

    parts: dict[str, tuple[Float[Array, "_ _ _ _"], Float[Array, " _"]]]
    # Whether it halves sizes by `halved`, or as it was trained.
    smooth: bool = eqx.field(static=True)

    def __init__(self, arrays: dict[str, np.ndarray], smooth: bool = False):
        """Take the arrays that `SHAPES` lists."""
        self.smooth = smooth
        names = {name.rpartition(".")[0] for name in SHAPES}
        self.parts = {name: ft.weights(arrays, name) for name in sorted(names)}

    def __call__(self, pixels: ft.Image, layers: Collection[str]) -> dict[str, ft.Features]:
        return ft.features_at(layers, pixels, LAYERS, self._step)

    def _step(self, layer: str, x: ft.Maps) -> ft.Maps:
        if self.smooth:
            return self._smooth_step(layer, x)
        if layer == "conv1":
            return ft.relu_product(_every_second(x, late=False), *self.parts["conv1"])
        # The halvings take turns between early and late places, so that no side of the picture is
        # left with much fewer windows than the opposite side.
        if layer in _POOLED:
            x = reduce(jnp.maximum, _every_second(x, late=layer != "fire4"))
        return self._fire(layer, x)

    def _smooth_step(self, layer: str, x: ft.Maps) -> ft.Maps:
        if layer == "conv1":
            return ft.relu_convolution(x, *self.parts["conv1"])
        # The trained conv1 leaves out every second place. Here its output is halved after its style
        # is taken, so that the style is that of all places.
        if layer == "fire2":
            x = ft.halved(x)
        if layer in _POOLED:
            x = ft.halved(_maximum(x))
        return self._fire(layer, x)

    def _fire(self, layer: str, x: ft.Maps) -> ft.Maps:
        squeeze, small, large = (self.parts[f"{layer}.{part}"] for part in PARTS)
        squeezed = ft.relu_convolution(x, *squeeze)
        both = [ft.relu_convolution(squeezed, *part) for part in (small, large)]
        return jnp.concatenate(both, axis=-1)


def _maximum(x: ft.Maps) -> ft.Maps:
    """Return the maximum of the 3 × 3 places around each, first down and then across."""
    x = ft.mirrored(x, 1, 1)
    x = jnp.maximum(jnp.maximum(x[:, :-2], x[:, 1:-1]), x[:, 2:])
    return jnp.maximum(jnp.maximum(x[:, :, :-2], x[:, :, 1:-1]), x[:, :, 2:])


def _every_second(x: ft.Maps, late: bool) -> list[ft.Maps]:
    """Return x as the windows around every second place see it; if `late`, from the second on."""
    # If a side is odd, it is always from the first on, which treats both ends alike.
    down, right = (int(late and side % 2 == 0) for side in x.shape[1:3])
    return ft.windows(ft.mirrored(x, 1, 1)[:, down:, right:], 3, 2)


def load_squeezenet(data_dir: str | Path | None = None, smooth: bool = False) -> SqueezeNet:
    """Return SqueezeNet 1.1 with the weights in the data folder."""
    return SqueezeNet(load_network("squeezenet", SHAPES, data_dir), smooth)
