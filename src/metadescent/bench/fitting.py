"""Fitting a model to examples, as a problem: on minibatches, or on all examples at once.

    f(θ) = mean over a minibatch of the model's loss, with the randomness of training
    f(θ) = mean over all examples, without randomness: for measurements

The examples are one set that all f share (`Fitting`), or drawn anew for each f (`FittingDrawn`).
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from metadescent.bench.task import Split
from metadescent.problems.arrays import as_arrays
from metadescent.problems.base import Optimizee, Problem, Theta
from metadescent.problems.from_function import entries

MOST = 1024
"""The most examples to measure a loss on; more would take longer and say hardly more."""

Examples = PyTree[Array]  # one entry along the first axes for each example
Draw = Callable[[PRNGKeyArray], tuple[Examples, Examples]]


class Model(eqx.Module):
    """A model to fit: it draws θ₀, and says how well θ fits given examples. It has no arrays."""

    @abstractmethod
    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw θ₀, as is usual for such a model."""

    @abstractmethod
    def loss(
        self, theta: Theta, examples: Examples, key: PRNGKeyArray | None
    ) -> Float[Array, "..."]:
        """Return the mean loss on examples, a scalar.

        The key draws what is random in training, such as dropout. With None instead of a key the
        loss is measured, as a function of θ and the examples alone.
        """


class Fit(Optimizee):
    """A model's mean loss on examples: on minibatches drawn with replacement, or on all."""

    model: Model = eqx.field(static=True)
    examples: Examples
    batch_size: int | None = eqx.field(static=True)

    def init(self, key: PRNGKeyArray) -> Theta:
        """Draw θ₀."""
        return self.model.init(key)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        """Return the loss on the minibatch that the key draws; on all without a batch size."""
        if self.batch_size is None:
            return self.model.loss(theta, self.examples, None)
        # Dropout has a key of its own, so that it does not depend on which examples were drawn.
        key, draw = jax.random.split(key)
        chosen = jax.random.randint(draw, (self.batch_size,), 0, entries(self.examples))
        return self.model.loss(theta, jax.tree.map(lambda x: x[chosen], self.examples), key)


class Fitting(Problem):
    """Fitting a model to one set of examples: only θ₀ and the minibatches are random."""

    f: Fit

    def sample(self, key: PRNGKeyArray) -> Fit:
        """Return the one f."""
        del key
        return self.f


class FittingDrawn(Problem):
    """Fitting a model to examples that are drawn for each f, such as those of a random teacher."""

    model: Model = eqx.field(static=True)
    draw: Callable[[PRNGKeyArray], Examples] = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Fit:
        """Draw the examples of one f."""
        return Fit(self.model, self.draw(key), self.batch_size)


def split_of(model: Model, train: Any, held_out: Any, batch_size: int, most: int = MOST) -> Split:
    """Return the task of fitting a model to arrays; it is measured on at most `most` examples."""
    train, held_out = as_arrays(train, "the examples"), as_arrays(held_out, "those held out")
    return Split(
        Fitting(Fit(model, train, batch_size)),
        Fitting(Fit(model, evenly(train, most), None)),
        Fitting(Fit(model, evenly(held_out, most), None)),
    )


def split_drawn(model: Model, draw: Draw, batch_size: int, most: int = MOST) -> Split:
    """Return the task of fitting a model to drawn examples: draw(key) → (examples, held out)."""
    parts = [partial(_part, draw, number) for number in (0, 1)]
    few = [partial(_few, part, most) for part in parts]
    return Split(
        FittingDrawn(model, parts[0], batch_size),
        FittingDrawn(model, few[0], None),
        FittingDrawn(model, few[1], None),
    )


def _part(draw: Draw, number: int, key: PRNGKeyArray) -> Examples:
    return draw(key)[number]


def _few(draw: Callable[[PRNGKeyArray], Examples], most: int, key: PRNGKeyArray) -> Examples:
    return evenly(draw(key), most)


def evenly(examples: Examples, most: int) -> Examples:
    """Return at most `most` of the examples, at equal distances, as neighbours may be alike."""
    n = entries(examples)
    if n <= most:
        return examples
    chosen = np.arange(most) * n // most
    return jax.tree.map(lambda x: x[chosen], examples)
