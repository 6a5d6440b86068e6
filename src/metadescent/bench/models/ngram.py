"""A model of text that sees a few letters at a time."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from metadescent.bench.models.layers import Plan, ToDraw, affine, apply_affine
from metadescent.bench.models.supervised import Network


class NGram(Network):
    """Predicts the next letter from the last few: embeddings side by side, and a hidden layer.

    Y. Bengio, R. Ducharme, P. Vincent and C. Jauvin, "A neural probabilistic language model", 2003.
    """

    letters: int
    features: int
    context: int
    units: int

    def plan(self) -> Plan:
        return {
            "embedding": ToDraw((self.letters, self.features), 1.0),
            "hidden": affine(self.context * self.features, self.units),
            "out": affine(self.units, self.letters),
        }

    def apply(
        self, theta: dict[str, Any], x: Integer[Array, "batch context"], key: PRNGKeyArray | None
    ) -> Float[Array, "batch letters"]:
        del key
        features = theta["embedding"][x].reshape(len(x), -1)
        return apply_affine(theta["out"], jnp.tanh(apply_affine(theta["hidden"], features)))
