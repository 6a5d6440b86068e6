"""Convolutional classifiers (section 3.3): the cross-entropy of a network with batch normalization.

    x ← maxpool₂ₓ₂(relu(BN(w ∗ x + b)))     a convolutional layer
    x ← relu(BN(w x + b))                   a hidden layer
    BN(z) = (z − mean z) / √(var z + ε) + β     mean and variance over the minibatch and over places

The means and variances are computed in each evaluation of f. They are not part of θ.
"""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from metadescent._errors import UserError, require, require_sizes
from metadescent.problems.arrays import as_array, as_labels
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.convolution import convolve
from metadescent.problems.pooling import pool

# The ε of Sonnet 1, the library that the authors' code uses.
EPSILON = 1e-3
FITTING = 2**20
"""How many numbers of a layer's output, of all networks, a processor's cache holds."""
MANY = 16
"""If so many networks fit, they need no parts."""

# Weights "w", biases "b" and, except in the last layer, "beta", the β of batch normalization. As in
# the authors' code, there is no scale γ.
Layer = dict[str, Float[Array, "..."]]
# The keys are "conv", "fc" and "out". Only the "w" of a convolution has four axes: height × width ×
# in × out.
ConvNetTheta = dict[str, list[Layer]]


class ConvNet(Optimizee):
    """The cross-entropy of a small convolutional network on minibatches drawn with replacement."""

    images: UInt8[Array, "examples height width colours"]
    labels: Int[Array, " examples"]
    channels: tuple[int, ...] = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    kernel: int = eqx.field(static=True, default=5)
    batch_size: int = eqx.field(static=True, default=128)
    theta_std: float = eqx.field(static=True, default=0.01)
    white: float = eqx.field(static=True, default=255.0)

    def init(self, key: PRNGKeyArray) -> ConvNetTheta:
        """Draw θ₀: weights and biases from N(0, theta_std²), and β = 0."""
        # Each convolution keeps height and width, and the pooling after it halves them.
        _, height, width, colours = self.images.shape
        depth = len(self.channels)
        maps = (colours, *self.channels)
        units = ((height >> depth) * (width >> depth) * maps[-1], *self.hidden)

        def zeros(*shape: int) -> Layer:
            return {"w": jnp.zeros(shape), "b": jnp.zeros(shape[-1])}

        # All weights are drawn at once, because one draw for each leaf takes longer to compile.
        row, as_theta = ravel_pytree(
            {
                "conv": [zeros(self.kernel, self.kernel, *pair) for pair in pairwise(maps)],
                "fc": [zeros(*pair) for pair in pairwise(units)],
                "out": [zeros(units[-1], self.classes)],
            }
        )
        theta = as_theta(self.theta_std * jax.random.normal(key, row.shape, row.dtype))
        for layer in (*theta["conv"], *theta["fc"]):
            layer["beta"] = jnp.zeros_like(layer["b"])
        return theta

    def loss(self, theta: ConvNetTheta, key: PRNGKeyArray) -> Float[Array, ""]:
        """Return the mean cross-entropy on the minibatch that `key` draws."""
        chosen = jax.random.randint(key, (self.batch_size,), 0, len(self.labels))
        return self.cross_entropy(theta, self.images[chosen], self.labels[chosen])

    def cross_entropy(
        self,
        theta: ConvNetTheta,
        images: UInt8[Array, "batch height width colours"],
        labels: Int[Array, " batch"],
    ) -> Float[Array, ""]:
        """Return the mean cross-entropy on given examples, whatever θ was trained on."""
        logits = self.logits(theta, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def logits(
        self, theta: ConvNetTheta, images: UInt8[Array, "batch height width colours"]
    ) -> Float[Array, "batch classes"]:
        """Return the network's output on examples, normalized by their own means and variances."""
        (out,) = theta["out"]
        x = images.astype(out["w"].dtype) / self.white
        # Normalization subtracts the mean of z, which would cancel b, so b is left out. Its
        # derivative is then exactly 0. Otherwise it would be a rounding error, and rules with
        # normalized gradients would follow that.
        for layer in theta["conv"]:
            x = convolve(x, layer["w"])
            # BN and relu are increasing, so they may follow the maximum: a quarter of the work.
            x, mean, variance = pool(x)
            x = jax.nn.relu(_normalize(x, mean, variance, layer["beta"]))
        x = x.reshape(len(x), -1)
        for layer in theta["fc"]:
            x = x @ layer["w"]
            x = jax.nn.relu(_normalize(x, x.mean(0), x.var(0), layer["beta"]))
        return x @ out["w"] + out["b"]


def _normalize(
    x: Float[Array, "... features"],
    mean: Float[Array, " features"],
    variance: Float[Array, " features"],
    beta: Float[Array, " features"],
) -> Float[Array, "... features"]:
    """Return x less the mean, over the standard deviation, plus β."""
    return (x - mean) * jax.lax.rsqrt(variance + EPSILON) + beta


class ConvNetClassification(Problem):
    """Training one architecture on one dataset, from a random θ₀ (section 3.3).

    Held-out images make another problem with the same architecture.
    """

    f: ConvNet

    def __init__(
        self,
        images: np.ndarray | Array,  # uint8, examples × height × width × colours
        labels: np.ndarray | Array,
        channels: Sequence[int] = (16, 16, 16),
        hidden: Sequence[int] = (32,),
        classes: int | None = None,  # one more than the largest label
        kernel: int = 5,
        batch_size: int = 128,
        theta_std: float = 0.01,
        white: float = 255.0,
    ):
        require_sizes("channels", channels)
        require_sizes("hidden", hidden)
        require("batch_size", batch_size, 1)
        require("kernel", kernel, 1)
        if kernel % 2 == 0:
            raise UserError(f"kernel is {kernel} and must be odd; try {kernel - 1} or {kernel + 1}")
        height, width = images.shape[1:3]
        # side & −side is the largest power of 2 that divides a side.
        most = min((side & -side).bit_length() - 1 for side in (height, width))
        if len(channels) > most:
            raise UserError(
                f"channels has {len(channels)} layers, and images of {height} × {width} pixels can "
                f"be halved only {most} times; try at most {most} layers"
            )
        largest = int(labels.max())
        if classes is None:
            classes = largest + 1
        elif largest >= classes:
            raise UserError(
                f"there is a label {largest}, and {classes} classes end at {classes - 1}; "
                f"try classes={largest + 1}"
            )
        examples = as_array(images, "images"), as_labels(labels, "labels")
        sizes = tuple(channels), tuple(hidden)
        self.f = ConvNet(*examples, *sizes, classes, kernel, batch_size, theta_std, white)

    def sample(self, key: PRNGKeyArray) -> ConvNet:
        del key  # Only θ₀ and the minibatches are random.
        return self.f

    @property
    def at_once(self) -> int | None:
        """Return how many networks learn side by side, so that their largest maps fit a cache."""
        _, height, width, _ = self.f.images.shape
        layers = enumerate(self.f.channels)
        places = max(((height >> k) * (width >> k) * channels for k, channels in layers), default=0)
        # An accelerator is faster the more it is given.
        if jax.default_backend() != "cpu" or MANY * self.f.batch_size * places <= FITTING:
            return None
        return max(1, FITTING // (self.f.batch_size * places))
