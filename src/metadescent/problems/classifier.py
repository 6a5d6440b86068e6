"""MLP classifiers (section 3.2):  f(θ) = mean over a minibatch of −log softmax(net_θ(x))[label]."""

from collections.abc import Sequence
from typing import Literal, get_args

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from metadescent._errors import UserError, require, require_choice, require_sizes
from metadescent.problems.arrays import as_array, as_labels
from metadescent.problems.base import Optimizee, Problem

Activation = Literal["sigmoid", "relu", "tanh", "elu"]
MLPTheta = list[tuple[Float[Array, "_ _"], Float[Array, " _"]]]


class Classifier(Optimizee):
    """The cross-entropy of a small MLP on minibatches; θ is one (weights, biases) pair a layer."""

    # Bytes become floats minibatch by minibatch, so the data set stays a quarter of the size.
    images: UInt8[Array, "examples pixels"]
    labels: Int[Array, " examples"]
    widths: tuple[int, ...] = eqx.field(static=True)
    activation: Activation = eqx.field(static=True, default="sigmoid")
    batch_size: int = eqx.field(static=True, default=128)
    theta_std: float = eqx.field(static=True, default=0.01)
    white: float = eqx.field(static=True, default=255.0)

    def init(self, key: PRNGKeyArray) -> MLPTheta:
        """Draw θ₀ ~ N(0, theta_std²), weights and biases alike."""
        keys = jax.random.split(key, (len(self.widths) - 1, 2))
        return [
            (
                self.theta_std * jax.random.normal(w_key, (inputs, outputs)),
                self.theta_std * jax.random.normal(b_key, (outputs,)),
            )
            for inputs, outputs, (w_key, b_key) in zip(
                self.widths[:-1], self.widths[1:], keys, strict=True
            )
        ]

    def loss(self, theta: MLPTheta, key: PRNGKeyArray) -> Float[Array, ""]:
        """Return the mean cross-entropy on the minibatch that `key` draws, if there is one."""
        if not self.batch_size:
            return self.cross_entropy(theta, self.images, self.labels)
        # Drawn with replacement: drawing without it takes a permutation of the whole set.
        chosen = jax.random.randint(key, (self.batch_size,), 0, len(self.labels))
        return self.cross_entropy(theta, self.images[chosen], self.labels[chosen])

    def cross_entropy(
        self, theta: MLPTheta, images: UInt8[Array, "batch pixels"], labels: Int[Array, " batch"]
    ) -> Float[Array, ""]:
        """Return the mean cross-entropy of the network on given examples."""
        activate = getattr(jax.nn, self.activation)
        *hidden, (w_out, b_out) = theta
        # The computation has the dtype of θ, which is float64 in tests of derivatives.
        x = images.astype(w_out.dtype) / self.white
        for w, b in hidden:
            x = activate(x @ w + b)
        logits = x @ w_out + b_out
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


class MLPClassification(Problem):
    """Training one MLP on one dataset, from a random θ₀: f is its cross-entropy on minibatches.

    f(θ) = mean over a minibatch of −log softmax(net_θ(x))[label]; θ is one (weights, biases) pair a
    layer, and a minibatch is drawn with replacement. The only sources of variation between
    optimizees are θ₀ and the draw of minibatches, so `sample` ignores its key.

    Arguments:
        images: uint8, examples × pixels, in 0 … white.
        labels: integers from 0 on, one for each example.
        hidden: units of each hidden layer; (20,) in the paper.
        activation: "sigmoid" (the paper's), "relu", "tanh" or "elu".
        batch_size: examples in a minibatch; 128 in the paper. With 0 there are no minibatches:
            each evaluation takes all examples, so that f is exact.
        theta_std: standard deviation of θ₀; the authors' code takes 0.01.
        white: the value of a white pixel.

    Raises:
        UserError: if the activation is unknown, a size is below 1, or the shapes do not fit.

    Example:
        >>> import jax, numpy as np
        >>> images, labels = np.zeros((8, 4), np.uint8), np.arange(8) % 2
        >>> f = MLPClassification(images, labels, hidden=(3,)).sample(jax.random.key(0))
        >>> f.widths
        (4, 3, 2)

    Source: section 3.2.
    """

    f: Classifier

    def __init__(
        self,
        images: np.ndarray | Array,
        labels: np.ndarray | Array,
        hidden: Sequence[int] = (20,),
        activation: Activation = "sigmoid",
        batch_size: int = 128,
        theta_std: float = 0.01,
        white: float = 255.0,
    ):
        require_choice("activation", activation, get_args(Activation))
        require_sizes("hidden", hidden)
        require("batch_size", batch_size, 0)
        require("theta_std", theta_std, 0.0)
        shapes = np.shape(images), np.shape(labels)
        if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1] or shapes[1] == (0,):
            raise UserError(
                f"images have the shape {shapes[0]} and labels {shapes[1]} and must have "
                "(examples, pixels) and (examples,); try images.reshape(len(images), -1)"
            )
        classes = int(labels.max()) + 1
        widths = (images.shape[1], *hidden, classes)
        examples = as_array(images, "images"), as_labels(labels, "labels")
        self.f = Classifier(*examples, widths, activation, batch_size, theta_std, white)

    def sample(self, key: PRNGKeyArray) -> Classifier:
        del key  # Only θ₀ and the minibatches are random.
        return self.f
