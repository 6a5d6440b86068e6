"""Convex bowls, a helper problem:  f(θ) = mean_i min((θ_i − a_i)², 10),  a_i ~ U(−1, 1).

Any optimizer should minimize them. Side by side with another problem (see `problems/together.py`),
they keep meta-training from forgetting plain descent.

Source: Lv, Jiang and Li (2017); constants as in the code of Chen et al. (2020).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.problems.base import Named, Optimizee, Problem
from metadescent.problems.dressed import dress


class Bowl(Optimizee):
    """The mean of min((θ_i − a_i)², 10): a bowl with a rim, convex within."""

    a: Float[Array, " n"]

    def init(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        return jax.random.normal(key, self.a.shape)

    def loss(self, theta: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, ""]:
        del key
        # Beyond the rim the gradient is 0, so one coordinate that diverges costs no more than 10.
        return jnp.minimum((theta - self.a) ** 2, 10.0).mean()


class Convex(Problem):
    """Bowls whose bottoms are drawn from the cube [−1, 1]ⁿ."""

    dimension: int = eqx.field(static=True, default=20)

    def __check_init__(self) -> None:
        require("dimension", self.dimension, 1)

    def sample(self, key: PRNGKeyArray) -> Bowl:
        return Bowl(jax.random.uniform(key, (self.dimension,), minval=-1.0, maxval=1.0))


def make_convex(dimension: int = 20, rescale: float = 0.0, log: bool = False) -> Problem:
    """Return the problem, with rescaled coordinates and the logarithm of f if wanted."""
    return dress(Convex(dimension), rescale=rescale, log=log)


NAMED = {
    "convex": Named(
        make_convex, {"problems": 128}, "bowls (θ − a)², a helper beside other problems"
    )
}
