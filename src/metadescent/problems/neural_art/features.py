"""The features that the layers of a pretrained network compute from a picture.

A new network is one new file: a final subclass of `FeatureNetwork`.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent.problems.convolution import convolve
from metadescent.problems.data.networks import MEAN

# Up to this many places, one product of all windows is faster on a CPU than a convolution:
# `benchmarks/neural_art.py`.
FEW_PLACES = 256

Image = Float[Array, "height width 3"]
Maps = Float[Array, "1 _ _ _"]
Features = Float[Array, "_ _ _"]


class FeatureNetwork(eqx.Module):
    """A convolutional network without its classifier: the interface.

    Its weights are arrays of the module. They are arguments of a compiled program, and all f share
    them.
    """

    # The layers where style and content are compared, and the shortest side of a picture that
    # reaches all of them.
    style_layers: ClassVar[tuple[str, ...]]
    content_layer: ClassVar[str]
    least_size: ClassVar[int]

    @abstractmethod
    def __call__(self, pixels: Image, layers: Collection[str]) -> dict[str, Features]:
        """Return the features of a picture, 0 for black and 255 for white, at some layers."""


def features_at(
    layers: Collection[str],
    pixels: Image,
    names: Collection[str],
    step: Callable[[str, Maps], Maps],
) -> dict[str, Features]:
    """Return features at `layers` of a chain of layers `step(name, x)`, and compute no others."""
    x, features = as_input(pixels), {}
    for name in names:
        x = step(name, x)
        if name in layers:
            features[name] = x[0]
        if len(features) == len(set(layers)):
            break
    return features


def as_input(pixels: Image) -> Maps:
    """Return a picture as the networks take it: blue, green and red, less their means."""
    return (pixels[..., ::-1] - jnp.asarray(MEAN, pixels.dtype))[None]


def weights(arrays: dict[str, np.ndarray], layer: str) -> tuple[Array, Array]:
    """Return the kernel and the bias of a layer."""
    return jnp.asarray(arrays[f"{layer}.kernel"]), jnp.asarray(arrays[f"{layer}.bias"])


def mirrored(x: Maps, before: int, after: int) -> Maps:
    """Return x with `before` and `after` rows and columns mirrored at its sides."""
    # The networks were trained with zeros, or leave the last places out. But zeros look like an
    # edge in the picture, and the optimizer fills pixels that only few windows cover with style.
    side = (before, after)
    return jnp.pad(x, ((0, 0), side, side, (0, 0)), mode="reflect")


def even(x: Maps) -> Maps:
    """Return x with an even height and width, by a mirrored row or column where they are odd."""
    down, right = (side % 2 for side in x.shape[1:3])
    return jnp.pad(x, ((0, 0), (0, down), (0, right), (0, 0)), mode="reflect")


def halved(x: Maps) -> Maps:
    """Return x at half its height and width, as means of 4 × 4 places weighed by 1 3 3 1."""
    # Rows and columns that alternate average to 0, and the gradient is interpolated between places.
    # If every second place were taken, the gradient would be a grid (Zhang, 2019).
    x = mirrored(even(x), 1, 1)
    for axis in (1, 2):
        n = x.shape[axis] - 3
        a, b, c, d = (jax.lax.slice_in_dim(x, k, k + n, 2, axis) for k in range(4))
        x = (a + 3 * (b + c) + d) / 8
    return x


def windows(x: Maps, size: int, stride: int) -> list[Maps]:
    """Return x as each place in a window of size × size sees it, row by row."""
    # Their maximum is max-pooling, and their product with a kernel is a convolution without
    # padding. Both have derivatives that are fast on a CPU.
    _, height, width, _ = x.shape
    down, right = ((side - size) // stride * stride + 1 for side in (height, width))
    return [
        x[:, i : i + down : stride, j : j + right : stride]
        for i in range(size)
        for j in range(size)
    ]


def gram(features: Float[Array, "height width channels"]) -> Float[Array, "channels channels"]:
    """Return the mean over places of f_i f_j: G / M of Gatys et al. (2015), equation 3."""
    rows = features.reshape(-1, features.shape[-1])
    return rows.T @ rows / len(rows)


def relu_convolution(x: Maps, kernel: Array, bias: Array) -> Maps:
    """Return relu(kernel ∗ x + b) with the height and width of x, which is mirrored around it."""
    size = len(kernel)
    side = size // 2
    padded = mirrored(x, side, side)
    # If there are few places, all windows are written out for one product.
    if size == 1 or x.shape[1] * x.shape[2] <= FEW_PLACES:
        return relu_product(windows(padded, size, 1), kernel, bias)
    # `convolve` puts zeros around what is mirrored already; sums with these zeros are cut off.
    y = convolve(padded, kernel.astype(x.dtype))[:, side:-side, side:-side]
    return jax.nn.relu(y + bias.astype(x.dtype))


def relu_product(places: list[Maps], kernel: Array, bias: Array) -> Maps:
    """Return relu(kernel ∗ x + b), given x as each place of the kernel's window sees it."""
    rows = jnp.concatenate(places, axis=-1) if len(places) > 1 else places[0]
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(rows.dtype)
    return jax.nn.relu(rows @ matrix + bias.astype(rows.dtype))
