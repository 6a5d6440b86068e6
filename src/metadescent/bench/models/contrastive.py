"""Contrastive learning: match two noisy views of one picture among views of others.

A. van den Oord, Y. Li and O. Vinyals, "Representation learning with contrastive predictive coding",
2018; the symmetric form on views is that of T. Chen, S. Kornblith, M. Norouzi and G. Hinton, 2020.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.fitting import Model
from metadescent.bench.models.autoencoders import MEASURED_BY, Bytes, brightness
from metadescent.bench.models.layers import drawn
from metadescent.bench.models.perceptron import MLP
from metadescent.problems.base import Theta
from metadescent.problems.from_function import entries


class Contrastive(Model):
    """The mean cross-entropy of finding a view's counterpart within a group of pictures.

    In a view each pixel is masked with probability ½, and noise is added. Similarities are cosines
    over a temperature. If there are more pictures than a group has, they form several groups, so
    that a loss on many pictures is that of minibatches.
    """

    network: MLP
    group: int
    noise: float = 0.2
    temperature: float = 0.2

    def init(self, key: PRNGKeyArray) -> Theta:
        return drawn(key, self.network.plan())

    def loss(self, theta: Theta, examples: Bytes, key: PRNGKeyArray | None) -> Float[Array, "..."]:
        group = min(self.group, entries(examples))
        x = brightness(examples, theta)[: len(examples) // group * group]
        keys = jax.random.split(jax.random.key(MEASURED_BY) if key is None else key)
        left, right = (self._embedded(theta, x, k).reshape(-1, group, self._width) for k in keys)
        similarities = jnp.einsum("gid,gjd->gij", left, right) / self.temperature
        # Each view looks for its counterpart, along rows and along columns.
        log_odds = [jax.nn.log_softmax(similarities, axis) for axis in (1, 2)]
        rows, columns = (jnp.diagonal(x, axis1=1, axis2=2).mean() for x in log_odds)
        return -(rows + columns) / 2

    @property
    def _width(self) -> int:
        return self.network.widths[-1]

    def _embedded(
        self, theta: Theta, x: Float[Array, "batch pixels"], key: PRNGKeyArray
    ) -> Float[Array, "batch features"]:
        """Return the network's output for a view of each picture, scaled to length 1."""
        mask_key, noise_key = jax.random.split(key)
        seen = jnp.where(jax.random.bernoulli(mask_key, 0.5, x.shape), x, 0)
        view = seen + self.noise * jax.random.normal(noise_key, x.shape, x.dtype)
        features = self.network.apply(theta, view, None)
        return features * jax.lax.rsqrt((features**2).sum(-1, keepdims=True) + 1e-12)
