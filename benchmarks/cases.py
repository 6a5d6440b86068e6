"""What is measured: an optimizer, a family of problems, how many of them, and how long."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from metadescent.optimizers.lstm import LSTM
from metadescent.problems.base import Optimizee, Problem
from metadescent.problems.classifier import MLPClassification
from metadescent.problems.digits import make_digits
from metadescent.problems.quadratic import Quadratic

STEPS = 20


class DiagonalFunction(Optimizee):
    """f(θ) = Σ d_i (θ_i − y_i)²: next to nothing to compute, so that all there is, is the rule."""

    d: Any
    y: Any

    def init(self, key: Any) -> Any:
        """Draw θ₀ ~ N(0, 0.01²)."""
        return 0.01 * jax.random.normal(key, self.d.shape)

    def loss(self, theta: Any, key: Any) -> Any:
        """Evaluate f(θ); there is no minibatch."""
        del key
        return jnp.sum(self.d * (theta - self.y) ** 2)


class Diagonal(Problem):
    """Diagonal quadratics with d = eᶻ, and z and y drawn from N(0, 1)."""

    dimension: int = eqx.field(static=True)

    def sample(self, key: Any) -> DiagonalFunction:
        """Draw d and y."""
        d_key, y_key = jax.random.split(key)
        shape = (self.dimension,)
        d = jnp.exp(jax.random.normal(d_key, shape))
        return DiagonalFunction(d, jax.random.normal(y_key, shape))


class Case(NamedTuple):
    """One case. A meta-step is one segment of `steps` steps and its gradient with respect to φ.

    An episode is `segments` of them, each going on where the one before ended. At most `repeats`
    rounds are timed, so that the large cases do not take all day.
    """

    name: str
    words: str
    m: LSTM
    problem: Problem
    num_problems: int
    segments: int = 1
    steps: int = STEPS
    repeats: int = 1000

    @property
    def key(self) -> Any:
        """The key of the episode: of f, θ₀ and the minibatches."""
        return jax.random.key(1)


def make(name: str, *, steps: int = STEPS, dimension: int = 1_000_000) -> Case:
    """Return a case; `dimension` is that of `million`, also wanted at other sizes."""
    key = jax.random.key(0)
    scaled = LSTM(p=10.0, scale=0.1, key=key)
    match name:
        case "quadratic":
            words = "128 functions of 10 coordinates"
            plain = LSTM(p=None, scale=1.0, key=key)
            return Case(name, words, plain, Quadratic(), 128, segments=5, steps=steps)
        case "mnist":
            words = "MLP 784-20-10, 15,910 coordinates, minibatches of 128"
            return Case(name, words, scaled, _mnist_sized(), 1, steps=steps)
        case "million":
            words = f"a diagonal quadratic of {dimension:,} coordinates"
            return Case(name, words, scaled, Diagonal(dimension), 1, steps=steps, repeats=3)
        case "classifiers":
            words = "64 MLPs 64-20-10 on digits, 96,640 coordinates, minibatches of 128"
            return Case(name, words, scaled, make_digits(), 64, steps=steps, repeats=5)
    raise ValueError(f"there is no case {name!r}; known are {', '.join(CASES)}")


CASES = ("quadratic", "mnist", "million", "classifiers")


def _mnist_sized() -> MLPClassification:
    """Return the classification of random images of MNIST's number, size and type."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60_000, 784), dtype=np.uint8)
    return MLPClassification(images, rng.integers(0, 10, 60_000).astype(np.int32))
