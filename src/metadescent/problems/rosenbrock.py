"""Rosenbrock's valley in n dimensions:  f(θ) = Σ_{i<n} 100 (x_{i+1} − x_i²)² + (1 − x_i)².

The floor of the valley is a curve, along which neighbouring coordinates must move together, and the
Hessian turns along it. The problem is a family of such functions: x = (θ − a) / c, with a shift a
of each coordinate and a scale c drawn for each f. The minimum, 0, is at x = (1, …, 1).

Source: Rosenbrock (1960), "An automatic method for finding the greatest or least value of a
function"; the sum over pairs of neighbours is the usual extension beyond two dimensions.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.problems.base import Named, Optimizee, Problem
from metadescent.problems.dressed import dress

# The standard deviation of the valleys' places a, and of θ₀.
STD = 0.5


class Valley(Optimizee):
    """Rosenbrock's function of (θ − a) / c, with θ₀ ~ N(0, 0.5²)."""

    a: Float[Array, " n"]
    c: Float[Array, ""]

    def init(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        return STD * jax.random.normal(key, self.a.shape)

    def loss(self, theta: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, ""]:
        del key
        x = (theta - self.a) / self.c
        return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


class Rosenbrock(Problem):
    """Rosenbrock's valleys at random places and in random sizes: a ~ N(0, 0.5²), log c ~ U(−r, r).

    f(θ) = Σ_{i<n} 100 (x_{i+1} − x_i²)² + (1 − x_i)², with x = (θ − a) / c.

    Arguments:
        dimension: n, at least 2.
        r: range of the logarithm of the scale; 0 for c = 1.

    Raises:
        UserError: if n is below 2 or r negative.

    Example:
        >>> import jax
        >>> f = Rosenbrock(dimension=5).sample(jax.random.key(0))
        >>> f.a.shape, bool(0.6 < f.c < 1.7)
        ((5,), True)
    """

    dimension: int = eqx.field(static=True, default=2)
    r: float = eqx.field(static=True, default=0.5)

    def __check_init__(self) -> None:
        require("dimension", self.dimension, 2)
        require("r", self.r, 0.0)

    def sample(self, key: PRNGKeyArray) -> Valley:
        a_key, c_key = jax.random.split(key)
        a = STD * jax.random.normal(a_key, (self.dimension,))
        return Valley(a, jnp.exp(jax.random.uniform(c_key, (), minval=-self.r, maxval=self.r)))


def make_rosenbrock(dimension: int = 2, r: float = 0.5, log: bool = False) -> Problem:
    """Return the problem, with the logarithm of f if wanted."""
    return dress(Rosenbrock(dimension, r), log=log)


NAMED = {
    "rosenbrock": Named(
        make_rosenbrock, {"problems": 128}, "Rosenbrock's valley at random places, 2 dimensions"
    )
}
