"""The noisy quadratic:  f(θ) = ½ mean over c of Σ_i h_i (θ_i − c_i)²,  c ~ N(θ*, s² / h_i).

Where curvature is high, gradients are noisy too: their covariance is s² h_i. J. Martens and R.
Grosse; G. Zhang et al., "Which algorithmic choices matter at which batch sizes?", 2019.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.fitting import Model

Vector = Float[Array, " n"]


class NoisyQuadratic(Model):
    """½ mean of Σ h_i (θ_i − c_i)², with h_i = 1 / i and θ₀ = 0."""

    dimension: int

    def init(self, key: PRNGKeyArray) -> Vector:
        """Draw θ₀ ~ N(0, 0.1²), so that each key begins at another point."""
        return 0.1 * jax.random.normal(key, (self.dimension,))

    def loss(
        self, theta: Vector, examples: Float[Array, "batch n"], key: PRNGKeyArray | None
    ) -> Float[Array, "..."]:
        del key
        return 0.5 * ((theta - examples) ** 2 @ curvatures(self.dimension)).mean()


def curvatures(n: int) -> Vector:
    """Return h_i = 1 / i."""
    return 1 / jnp.arange(1.0, n + 1)
