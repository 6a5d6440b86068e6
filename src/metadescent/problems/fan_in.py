"""Networks that begin as libraries begin them: weights of a size that goes with their inputs.

    w ~ U(−1/√n, 1/√n),     n = inputs of a unit;     every tensor of one axis begins at 0

n is the product of all axes of w but the last. The paper's own θ₀ ~ N(0, 0.01²) does not know how
many inputs there are, and an optimizer that has seen no other beginning need not manage this one.

Source: sizes in proportion to n^(−1/2) from LeCun et al. (1998), "Efficient backprop". This is how
PyTorch draws the weights of its layers, and biases too, which begin at 0 here as in Flax.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require_kind
from metadescent.problems.base import Named, Optimizee, Problem, Theta
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.convnet import ConvNetClassification
from metadescent.problems.data.mnist import load_mnist
from metadescent.problems.dressed import dressed
from metadescent.problems.together import Together


class BegunByFanIn(Optimizee):
    """f, started where a library's layers start; its own θ₀ says no more than shapes and dtypes.

    Example:
        >>> from metadescent.problems.digits import digits
        >>> f = BegunByFanIn(digits(hidden=(4,)).sample(jax.random.key(0)))
        >>> (w, b), _ = f.init(jax.random.key(1))
        >>> bool(0.12 < abs(w).max() <= 1 / 64**0.5), bool(b.any())
        (True, False)
    """

    f: Optimizee

    def init(self, key: PRNGKeyArray) -> Theta:
        like = jax.eval_shape(self.f.init, key)
        leaves, treedef = jax.tree.flatten(like)
        keys = jax.random.split(key, len(leaves))
        return treedef.unflatten(map(_drawn, keys, leaves))

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        return self.f.loss(theta, key)


class FanIn(Problem):
    """Another problem, each of its optimizees started where a library's layers start.

    Arguments:
        problem: p(f), of networks whose weights have the outputs on their last axis.

    Raises:
        UserError: if it is no problem.

    Example:
        >>> from metadescent.problems.digits import digits
        >>> f = FanIn(digits(hidden=(4,))).sample(jax.random.key(0))
        >>> [w.shape for w, b in f.init(jax.random.key(1))]
        [(64, 4), (4, 10)]
    """

    problem: Problem

    def __check_init__(self) -> None:
        """Refuse what is no problem."""
        hint = "a metadescent.Problem; try MLPClassification(images, labels)"
        require_kind("problem", self.problem, Problem, hint)

    def sample(self, key: PRNGKeyArray) -> BegunByFanIn:
        return BegunByFanIn(self.problem.sample(key))


def _drawn(key: PRNGKeyArray, leaf: jax.ShapeDtypeStruct) -> Array:
    *inputs, _ = leaf.shape or (1,)
    if not inputs:
        return jnp.zeros(leaf.shape, leaf.dtype)
    bound = jnp.prod(jnp.asarray(inputs)) ** -0.5
    return jax.random.uniform(key, leaf.shape, leaf.dtype, -bound, bound)


def classifiers(log: bool = False, data_dir: str | Path | None = None) -> Problem:
    """Return five MNIST classifiers of the kinds that scripts have, side by side.

    784-10; 784-32-10 with sigmoids; 784-32-32-10 with ReLU; 196-256-10 with ReLU, a wide one, which
    sees every other pixel of every other row; and two convolutions, of 6 and 12 channels and 3 × 3,
    before 24 units and 10, with batch normalization. Their minibatches have 64 images, the last
    one's 32. θ is the tuple of theirs, each begun as `FanIn` says.

    Arguments:
        log: take the logarithm of each (`Logarithm`), so that each counts as much as the others.
        data_dir: where MNIST is; None: the usual folder.

    Raises:
        UserError: if the data is neither there nor to be downloaded.

    Example:
        On an MNIST of one image, how many numbers each θ has:

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sizes = [0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28]
        ...     image = bytes([0, 0, 8, 3, *sizes]) + bytes(784)
        ...     _ = Path(folder, "train-images-idx3-ubyte").write_bytes(image)
        ...     label = bytes([0, 0, 8, 1, 0, 0, 0, 1, 9])
        ...     _ = Path(folder, "train-labels-idx1-ubyte").write_bytes(label)
        ...     five = classifiers(data_dir=folder).sample(jax.random.key(0))
        >>> thetas = jax.eval_shape(five.init, jax.random.key(1))
        >>> [sum(leaf.size for leaf in jax.tree.leaves(theta)) for theta in thetas]
        [7850, 25450, 26506, 53002, 15148]
    """
    images, labels = load_mnist(data_dir, "train")
    squares = images.reshape(-1, 28, 28, 1)
    coarse = squares[:, ::2, ::2].reshape(len(images), -1)
    parts = [
        MLPClassification(images, labels, (), batch_size=64),
        MLPClassification(images, labels, (32,), "sigmoid", batch_size=64),
        MLPClassification(images, labels, (32, 32), "relu", batch_size=64),
        MLPClassification(coarse, labels, (256,), "relu", batch_size=64),
        ConvNetClassification(squares, labels, (6, 12), (24,), kernel=3, batch_size=32),
    ]
    return Together([dressed(FanIn(part), log=log) for part in parts])


NAMED = {
    "mnist-classifiers": Named(
        classifiers,
        {"optimizer": "anytime(layers=(20,), scale=0.01) >> proportional()"},
        "five MNIST classifiers as scripts have them, begun as libraries begin them",
    )
}
