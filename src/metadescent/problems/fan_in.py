"""Networks with θ₀ as libraries draw it: the size of weights depends on the number of inputs.

    w ~ U(−1/√n, 1/√n),     n = inputs of a unit;     every tensor of one axis begins at 0

n is the product of all axes of w but the last. The paper's own θ₀ ~ N(0, 0.01²) does not depend on
the number of inputs, and an optimizer that was trained on it alone may fail on weights of these
sizes.

Source: sizes in proportion to n^(−1/2) from LeCun et al. (1998), "Efficient backprop". PyTorch
draws the weights of its layers like this. It draws biases like this too; here they begin at 0, as
in Flax.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require_kind
from metadescent.problems.base import Named, Optimizee, Parts, Problem, Theta
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.convnet import ConvNetClassification
from metadescent.problems.data.mnist import load_mnist
from metadescent.problems.dressed import dress
from metadescent.problems.together import Together


class BegunByFanIn(Optimizee):
    """f with θ₀ as libraries draw it; only shapes and dtypes are taken from f's own θ₀."""

    f: Optimizee

    def init(self, key: PRNGKeyArray) -> Theta:
        leaves, treedef = jax.tree.flatten(jax.eval_shape(self.f.init, key))
        keys = jax.random.split(key, len(leaves))
        return treedef.unflatten(map(_drawn, keys, leaves))

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        return self.f.loss(theta, key)


class FanIn(Problem):
    """Another problem, with the θ₀ of each of its optimizees drawn as libraries draw it.

    A weight is drawn from U(−1/√n, 1/√n), where n is the product of all axes but the last; tensors
    of one axis or none begin at 0.

    Arguments:
        problem: p(f), of networks whose weights have the outputs on their last axis.

    Example:
        >>> import numpy as np
        >>> images, labels = np.zeros((8, 4), np.uint8), np.arange(8) % 2
        >>> f = FanIn(MLPClassification(images, labels, (50,))).sample(jax.random.key(0))
        >>> (w, b), _ = f.init(jax.random.key(1))
        >>> bool(0.4 < abs(w).max() <= 1 / 4**0.5), bool(b.any())
        (True, False)
    """

    problem: Problem

    def __check_init__(self) -> None:
        hint = "a metadescent.Problem; try MLPClassification(images, labels)"
        require_kind("problem", self.problem, Problem, hint)

    def sample(self, key: PRNGKeyArray) -> BegunByFanIn:
        return BegunByFanIn(self.problem.sample(key))

    @property
    def num_tasks(self) -> int | None:
        return self.problem.num_tasks

    @property
    def at_once(self) -> int | None:
        return self.problem.at_once

    def hold_out(self, share: float) -> Parts:
        parts = self.problem.hold_out(share)
        return Parts(*(dataclasses.replace(self, problem=part) for part in parts))


def _drawn(key: PRNGKeyArray, leaf: jax.ShapeDtypeStruct) -> Array:
    # A scalar is treated as a vector of length 1: neither has inputs.
    *inputs, _ = leaf.shape or (1,)
    if not inputs:
        return jnp.zeros(leaf.shape, leaf.dtype)
    bound = jnp.prod(jnp.asarray(inputs)) ** -0.5
    return jax.random.uniform(key, leaf.shape, leaf.dtype, -bound, bound)


def make_classifiers(log: bool = False, data_dir: str | Path | None = None) -> Problem:
    """Return five MNIST classifiers of kinds that are common in scripts, side by side."""
    images, labels = load_mnist(data_dir, "train")
    squares = images.reshape(-1, 28, 28, 1)
    # Every other pixel of every other row.
    coarse = squares[:, ::2, ::2].reshape(len(images), -1)
    parts = [
        MLPClassification(images, labels, (), batch_size=64),  # 784-10
        MLPClassification(images, labels, (32,), "sigmoid", batch_size=64),  # 784-32-10
        MLPClassification(images, labels, (32, 32), "relu", batch_size=64),  # 784-32-32-10
        MLPClassification(coarse, labels, (256,), "relu", batch_size=64),  # 196-256-10, a wide one
        # Two convolutions, 6 and 12 channels, before 24 units and 10, with batch normalization.
        ConvNetClassification(squares, labels, (6, 12), (24,), kernel=3, batch_size=32),
    ]
    # Each part is dressed by itself, so that with `log` all parts count equally.
    return Together([dress(FanIn(part), log=log) for part in parts])


NAMED = {
    "mnist-classifiers": Named(
        make_classifiers,
        {"optimizer": "anytime(layers=(20,), scale=0.01) >> proportional()"},
        "five MNIST classifiers as scripts have them, begun as libraries begin them",
    )
}
