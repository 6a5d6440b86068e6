"""Random quadratics (section 3.1):  f(θ) = ‖W θ − y‖²."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require, require_choice
from metadescent.problems.base import Named, Optimizee, Problem


class QuadraticFunction(Optimizee):
    """One quadratic f(θ) = ‖W θ − y‖², with θ₀ ~ N(0, 0.01²) as in the authors' code."""

    W: Float[Array, "n n"]
    y: Float[Array, " n"]

    def init(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        return 0.01 * jax.random.normal(key, self.y.shape)

    def loss(self, theta: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, ""]:
        del key
        return jnp.sum((self.W @ theta - self.y) ** 2)


DISTRIBUTIONS = {"gaussian": jax.random.normal, "uniform": jax.random.uniform}


class Quadratic(Problem):
    """Quadratics f(θ) = ‖W θ − y‖², the entries of W (n × n) and y (n) drawn independently.

    `entries` is "gaussian", N(0, 1) as in the paper's text, or "uniform", U[0, 1) as in the
    authors' code. The paper's figure 4 appears to show "uniform".

    Raises:
        UserError: if n is below 1, or there is no such distribution.

    Source: section 3.1; n = 10.

    Example:
        >>> import jax
        >>> f = Quadratic(dimension=4, entries="uniform").sample(jax.random.key(0))
        >>> f.W.shape, bool((f.W >= 0).all())
        ((4, 4), True)
    """

    dimension: int = eqx.field(static=True, default=10)
    entries: Literal["gaussian", "uniform"] = eqx.field(static=True, default="gaussian")

    def __check_init__(self) -> None:
        require("dimension", self.dimension, 1)
        require_choice("distribution of entries", self.entries, DISTRIBUTIONS)

    def sample(self, key: PRNGKeyArray) -> QuadraticFunction:
        draw = DISTRIBUTIONS[self.entries]
        W_key, y_key = jax.random.split(key)
        n = self.dimension
        return QuadraticFunction(draw(W_key, (n, n)), draw(y_key, (n,)))


_RECIPE = {
    # Section 3.1: neither preprocessing nor postprocessing.
    "optimizer": "lstm(p=None, scale=1.0)",
    "problems": 128,
    "epochs": 300,
    "average": 0.98,
    "validation_problems": 512,
}

NAMED = {
    "quadratic": Named(
        lambda dimension=10: Quadratic(dimension),
        _RECIPE,
        "‖Wθ − y‖², 10 dimensions, Gaussian W and y (section 3.1)",
    ),
    "quadratic-uniform": Named(
        lambda dimension=10: Quadratic(dimension, "uniform"),
        _RECIPE,
        "‖Wθ − y‖², 10 dimensions, W and y uniform on [0, 1) (the authors' code)",
    ),
}
