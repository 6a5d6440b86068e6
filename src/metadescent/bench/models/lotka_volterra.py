"""Predators and prey:  x' = x (α − β y),  y' = y (δ x − γ).  θ is log (α, β, δ, γ).

In u = log x and v = log y:  u' = α − β e^v,  v' = δ e^u − γ, which keeps populations positive. The
equations are solved by the Runge-Kutta method of order 4.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent.bench.models.layers import Plan, ToDraw
from metadescent.bench.models.supervised import Network

Populations = Float[Array, "batch 2"]  # log x and log y
Rates = Float[Array, " 4"]


class LotkaVolterra(Network):
    """log x and log y at each of several times, given their start."""

    times: int
    interval: float

    def plan(self) -> Plan:
        """Return rates about 1."""
        return ToDraw((4,), 0.3)

    def apply(
        self, theta: Rates, x: Populations, key: PRNGKeyArray | None
    ) -> Float[Array, "batch times 2"]:
        del key

        def step(z: Populations, _: None) -> tuple[Populations, Populations]:
            z = _runge_kutta(theta, z, self.interval)
            return z, z

        _, path = jax.lax.scan(step, x, length=self.times)
        return path.swapaxes(0, 1)


def _slope(theta: Rates, z: Populations) -> Populations:
    alpha, beta, delta, gamma = jnp.exp(theta)
    u, v = z.T
    return jnp.stack([alpha - beta * jnp.exp(v), delta * jnp.exp(u) - gamma], -1)


def _runge_kutta(theta: Rates, z: Populations, interval: float) -> Populations:
    """Return z after one interval, to order 4."""
    first = _slope(theta, z)
    second = _slope(theta, z + interval / 2 * first)
    third = _slope(theta, z + interval / 2 * second)
    fourth = _slope(theta, z + interval * third)
    return z + interval / 6 * (first + 2 * second + 2 * third + fourth)
