"""A helper that any optimizer should manage:  f(θ) = mean_i min((θ_i − a_i)², 10),  a_i ~ U(−1, 1).

Beside a problem (see `problems/together.py`) it keeps meta-training from forgetting plain descent.

Source: Lv, Jiang and Li (2017); constants as in the code of Chen et al. (2020).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require
from metadescent.problems.base import Named, Optimizee, Problem
from metadescent.problems.dressed import dressed


class Bowl(Optimizee):
    """The mean of min((θ_i − a_i)², 10): a bowl with a rim, convex within.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> f = Bowl(jnp.asarray([1.0, -1.0]))
        >>> float(f.loss(jnp.asarray([3.0, 100.0]), jax.random.key(0)))
        7.0
    """

    a: Float[Array, " n"]

    def init(self, key: PRNGKeyArray) -> Float[Array, " n"]:
        """Draw θ₀ ~ N(0, 1)."""
        return jax.random.normal(key, self.a.shape)

    def loss(self, theta: Float[Array, " n"], key: PRNGKeyArray) -> Float[Array, ""]:
        del key
        return jnp.minimum((theta - self.a) ** 2, 10.0).mean()


class Convex(Problem):
    """Bowls whose bottoms are drawn from the cube [−1, 1]ⁿ.

    Arguments:
        dimension: n.

    Raises:
        UserError: if n is below 1.

    Example:
        >>> import jax
        >>> Convex(dimension=5).sample(jax.random.key(0)).a.shape
        (5,)
    """

    dimension: int = eqx.field(static=True, default=20)

    def __check_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        require("dimension", self.dimension, 1)

    def sample(self, key: PRNGKeyArray) -> Bowl:
        return Bowl(jax.random.uniform(key, (self.dimension,), minval=-1.0, maxval=1.0))


def convex(dimension: int = 20, rescale: float = 0.0, log: bool = False) -> Problem:
    """Return the problem; `rescale` and `log` are those of `dressed`."""
    problem = Convex(dimension)
    return dressed(problem, rescale=rescale, log=log)


NAMED = {
    "convex": Named(convex, {"problems": 128}, "bowls (θ − a)², a helper beside other problems")
}
