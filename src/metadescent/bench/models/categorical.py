"""A wide hidden layer on numbers and embeddings of categories, as for tables of records."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from metadescent.bench.models.layers import Plan, ToDraw, affine, apply_affine, he
from metadescent.bench.models.supervised import Network

Records = tuple[Float[Array, "batch numbers"], Integer[Array, "batch columns"]]


class Categorical(Network):
    """One hidden layer of rectifiers on a record's numbers and its categories' embeddings."""

    numbers: int
    categories: tuple[int, ...]  # how many there are in each column
    features: int
    units: int

    def plan(self) -> Plan:
        inputs = self.numbers + self.features * len(self.categories)
        return {
            "embeddings": [ToDraw((count, self.features), 0.1) for count in self.categories],
            "hidden": affine(inputs, self.units, he),
            "out": affine(self.units, 1),
        }

    def apply(
        self, theta: dict[str, Any], x: Records, key: PRNGKeyArray | None
    ) -> Float[Array, "batch 1"]:
        del key
        numbers, categories = x
        embedded = [e[c] for e, c in zip(theta["embeddings"], categories.T, strict=True)]
        inputs = jnp.concatenate([numbers, *embedded], -1)
        return apply_affine(theta["out"], jax.nn.relu(apply_affine(theta["hidden"], inputs)))
