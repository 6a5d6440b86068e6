"""The heat equation u_t = κ u_xx on 0 < x, t < 1, solved by a network.

    u(x, 0) = sin πx + ½ sin 3πx,    u(0, t) = u(1, t) = 0

The solution is e^(−κπ²t) sin πx + ½ e^(−9κπ²t) sin 3πx. M. Raissi, P. Perdikaris and G.
Karniadakis, "Physics-informed neural networks", 2019.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.fitting import Model
from metadescent.bench.models.layers import drawn
from metadescent.bench.models.supervised import Network
from metadescent.problems.base import Theta

KAPPA = 0.1
Column = Float[Array, " points"]


class HeatEquation(Model):
    """The mean squared residual inside, plus the mean squared errors at the start and both ends.

    An example is a point (x, t) inside; its x is also used at the start, and its t at both ends.
    """

    network: Network

    def init(self, key: PRNGKeyArray) -> Theta:
        return drawn(key, self.network.plan())

    def loss(
        self, theta: Theta, examples: Float[Array, "points 2"], key: PRNGKeyArray | None
    ) -> Float[Array, "..."]:
        del key
        x, t = examples.T

        def u(x: Column, t: Column) -> Column:
            return self.network.apply(theta, jnp.stack([x, t], -1), None)[:, 0]

        ones, zeros = jnp.ones_like(x), jnp.zeros_like(x)
        _, u_t = jax.jvp(lambda t: u(x, t), (t,), (ones,))
        _, u_xx = jax.jvp(lambda x: jax.jvp(lambda x: u(x, t), (x,), (ones,))[1], (x,), (ones,))
        wrong = (
            u_t - KAPPA * u_xx,
            u(x, zeros) - solution(x, zeros),
            u(zeros, t),
            u(ones, t),
        )
        return sum((jnp.mean(w**2) for w in wrong[1:]), start=jnp.mean(wrong[0] ** 2))


def solution(x: Column, t: Column) -> Column:
    """Return u(x, t), the solution in closed form."""
    first, third = (jnp.sin(k * x) * jnp.exp(-KAPPA * k**2 * t) for k in (jnp.pi, 3 * jnp.pi))
    return first + third / 2
