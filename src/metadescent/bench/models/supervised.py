"""Supervised learning: f(θ) = mean over examples (x, y) of an objective of network_θ(x) and y."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, PRNGKeyArray, UInt8

from metadescent.bench.fitting import Model
from metadescent.bench.models.layers import Plan, drawn, dtype_of
from metadescent.problems.base import Theta

Objective = Literal["softmax", "one-hot", "logistic", "squared"]
Outputs = Float[Array, "batch ..."]


class Network(eqx.Module):
    """A map from inputs to outputs, given θ. It has no arrays."""

    @abstractmethod
    def plan(self) -> Plan:
        """Return the plan of θ₀."""

    @abstractmethod
    def apply(self, theta: Theta, x: Any, key: PRNGKeyArray | None) -> Outputs:
        """Return the outputs for a batch of inputs; the key draws dropout, None is without."""


class Supervised(Model):
    """The mean of an objective over pairs of an input and its target."""

    network: Network
    objective: Objective

    def init(self, key: PRNGKeyArray) -> Theta:
        return drawn(key, self.network.plan())

    def loss(self, theta: Theta, examples: Any, key: PRNGKeyArray | None) -> Float[Array, "..."]:
        x, y = examples
        return OBJECTIVES[self.objective](self.network.apply(theta, x, key), y)


class FromPixels(Network):
    """A network on bytes, in which 255 is white: its input is (x / 255 − mean) / std."""

    network: Network
    mean: float = 0.0
    std: float = 1.0

    def plan(self) -> Plan:
        return self.network.plan()

    def apply(
        self, theta: Theta, x: UInt8[Array, "batch ..."], key: PRNGKeyArray | None
    ) -> Outputs:
        numbers = (x.astype(dtype_of(theta)) / 255 - self.mean) / self.std
        return self.network.apply(theta, numbers, key)


class Scaled(Model):
    """A model whose loss is multiplied, because an optimizer must not rely on the scale of f."""

    model: Model
    factor: float

    def init(self, key: PRNGKeyArray) -> Theta:
        return self.model.init(key)

    def loss(self, theta: Theta, examples: Any, key: PRNGKeyArray | None) -> Float[Array, "..."]:
        return self.factor * self.model.loss(theta, examples, key)


def _softmax(logits: Outputs, labels: Integer[Array, "batch ..."]) -> Array:
    """Return the mean cross-entropy, over places too if an example has several."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _one_hot(outputs: Outputs, labels: Integer[Array, " batch"]) -> Array:
    """Return the mean over examples of ‖output − e_label‖²."""
    wanted = jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)
    return ((outputs - wanted) ** 2).sum(-1).mean()


def _logistic(logits: Outputs, y: Float[Array, "batch ..."]) -> Array:
    return optax.sigmoid_binary_cross_entropy(logits, y).mean()


def _squared(outputs: Outputs, y: Float[Array, "batch ..."]) -> Array:
    return jnp.mean((outputs - y) ** 2)


OBJECTIVES: dict[str, Callable[[Array, Array], Array]] = {
    "softmax": _softmax,
    "one-hot": _one_hot,
    "logistic": _logistic,
    "squared": _squared,
}
