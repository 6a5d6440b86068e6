"""What a pretrained network sees in a picture: features, layer by layer.

A new network is one new file: a final subclass of `FeatureNetwork`. Its weights are arrays of the
module, so they are arguments of a compiled program and no part of it, and a problem hands them to
all of its optimizees as they are.
"""

from abc import abstractmethod
from collections.abc import Collection
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metadescent.problems.convolution import convolve
from metadescent.problems.data.networks import MEAN

# Up to so many places the windows' product is quicker on a CPU than the convolution.
FEW_PLACES = 256

Image = Float[Array, "height width 3"]
Maps = Float[Array, "1 _ _ _"]
Features = Float[Array, "_ _ _"]


class FeatureNetwork(eqx.Module):
    """A convolutional network without its classifier: the interface.

    `style_layers` and `content_layer` are the names of the layers where style and content are
    compared, and `least_size` is the side of the smallest picture that reaches all of them.

    Example:
        >>> class Colours(FeatureNetwork):
        ...     style_layers, content_layer, least_size = ("colours",), "colours", 1
        ...     def __call__(self, pixels, layers):
        ...         return {"colours": jax.nn.relu(pixels - 127)}
        >>> Colours()(jnp.asarray([[[255.0, 128.0, 0.0]]]), ["colours"])["colours"].tolist()
        [[[128.0, 1.0, 0.0]]]
    """

    style_layers: ClassVar[tuple[str, ...]]
    content_layer: ClassVar[str]
    least_size: ClassVar[int]

    @abstractmethod
    def __call__(self, pixels: Image, layers: Collection[str]) -> dict[str, Features]:
        """Return the features of a picture, after the ReLU, at each of some layers.

        Arguments:
            pixels: red, green and blue, 0 for black and 255 for white; values beyond are allowed.
            layers: names of layers. What follows the last of them is not computed.
        """


def as_input(pixels: Image) -> Maps:
    """Return a picture as the networks take it: blue, green and red, less their means.

    Example:
        >>> as_input(jnp.zeros((1, 1, 3)))[0, 0, 0].round(1).tolist()
        [-103.9, -116.8, -123.7]
    """
    return (pixels[..., ::-1] - jnp.asarray(MEAN, pixels.dtype))[None]


def weights(arrays: dict[str, np.ndarray], layer: str) -> tuple[Array, Array]:
    """Return the kernel and the bias of a layer.

    Example:
        >>> arrays = {"a.kernel": np.ones((1, 1, 3, 2)), "a.bias": np.zeros(2)}
        >>> [x.shape for x in weights(arrays, "a")]
        [(1, 1, 3, 2), (2,)]
    """
    return jnp.asarray(arrays[f"{layer}.kernel"]), jnp.asarray(arrays[f"{layer}.bias"])


def mirrored(x: Maps, before: int, after: int) -> Maps:
    """Return x with so many of its rows and columns mirrored at either side.

    This stands where the networks were trained with zeros or let the last places go. Zeros look
    like an edge in the picture, and what only few windows see the optimizer fills with style.

    Example:
        >>> mirrored(jnp.arange(3.0).reshape(1, 1, 3, 1), 1, 1)[0, 0, :, 0].tolist()
        [1.0, 0.0, 1.0, 2.0, 1.0]
    """
    side = (before, after)
    return jnp.pad(x, ((0, 0), side, side, (0, 0)), mode="reflect")


def windows(x: Maps, size: int, stride: int) -> list[Maps]:
    """Return, for each place in a window of size × size, x there as the window slides over x.

    The places go row by row. Their maximum is max-pooling and their product with a kernel a
    convolution without padding, both with derivatives that are quick on a CPU.

    Example:
        >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> [w[0, :, :, 0].tolist() for w in windows(x, 2, 2)][0]
        [[0.0, 2.0], [8.0, 10.0]]
    """
    _, height, width, _ = x.shape
    down, right = ((side - size) // stride * stride + 1 for side in (height, width))
    return [
        x[:, i : i + down : stride, j : j + right : stride]
        for i in range(size)
        for j in range(size)
    ]


def gram(features: Float[Array, "height width channels"]) -> Float[Array, "channels channels"]:
    """Return the mean over places of f_i f_j: G / M in the words of Gatys et al.

    Example:
        >>> gram(jnp.asarray([[[1.0, 2.0]], [[3.0, 4.0]]])).tolist()
        [[5.0, 7.0], [7.0, 10.0]]

    Source: Gatys et al. (2015), equation 3.
    """
    rows = features.reshape(-1, features.shape[-1])
    return rows.T @ rows / len(rows)


def relu_convolution(x: Maps, kernel: Array, bias: Array) -> Maps:
    """Return relu(kernel ∗ x + b), of the height and width of x, for a kernel of odd side.

    Around x it is mirrored. Of few places all windows are written out for one product, which is
    quicker there: `benchmarks/neural_art.py`.

    Example:
        >>> x, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
        >>> y = relu_convolution(x, kernel, -jnp.ones(1))
        >>> y.shape, float(y[0, 0, 0, 0])  # nine in the corner too, less one
        ((1, 4, 4, 1), 8.0)
    """
    size = len(kernel)
    side = size // 2
    padded = mirrored(x, side, side)
    if size == 1 or x.shape[1] * x.shape[2] <= FEW_PLACES:
        return relu_product(windows(padded, size, 1), kernel, bias)
    y = convolve(padded, kernel.astype(x.dtype))[:, side:-side, side:-side]
    return jax.nn.relu(y + bias.astype(x.dtype))


def relu_product(places: list[Maps], kernel: Array, bias: Array) -> Maps:
    """Return relu(kernel ∗ x + b), given what each place of the kernel's window has before it.

    Example:
        The steps from each place to the next:

        >>> x = jnp.asarray([1.0, 4.0, 2.0]).reshape(1, 1, 3, 1)
        >>> kernel = jnp.asarray([-1.0, 1.0]).reshape(1, 2, 1, 1)
        >>> relu_product([x[:, :, :-1], x[:, :, 1:]], kernel, jnp.zeros(1)).ravel().tolist()
        [3.0, 0.0]
    """
    rows = jnp.concatenate(places, axis=-1) if len(places) > 1 else places[0]
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(rows.dtype)
    return jax.nn.relu(rows @ matrix + bias.astype(rows.dtype))
