"""The logarithm of a problem's functions: progress counted in ratios.

    f(θ)  →  log(f(θ) + ε),     ε = 10⁻⁴

To bring a loss of 0.02 to 0.01 then counts as much as to bring one of 2 to 1: late steps as much as
early ones, and of several problems side by side each as much as the others. The minimum is where it
was, and a gradient differs from f's by a factor that all coordinates share: to a rule that does not
mind the scale of gradients the problem is nearly the same. For f ≥ 0.

Source: Wichrowska et al. (2017), "Learned optimizers that scale and generalize", take the logarithm
in the meta-loss.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from metadescent._errors import require_kind
from metadescent.problems.base import Optimizee, Problem, Theta

EPSILON = 1e-4


class LogFunction(Optimizee):
    """log(f(θ) + ε).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metadescent.problems.convex import Bowl
        >>> f = LogFunction(Bowl(jnp.zeros(1)))
        >>> round(float(f.loss(jnp.ones(1), jax.random.key(0))), 3)
        0.0
    """

    f: Optimizee

    def init(self, key: PRNGKeyArray) -> Theta:
        return self.f.init(key)

    def loss(self, theta: Theta, key: PRNGKeyArray) -> Float[Array, "..."]:
        return jnp.log(self.f.loss(theta, key) + EPSILON)


class Logarithm(Problem):
    """Another problem, with the logarithm of its functions.

    Example:
        >>> import jax
        >>> from metadescent.problems.convex import Convex
        >>> Logarithm(Convex(dimension=3)).sample(jax.random.key(0)).f.a.shape
        (3,)
    """

    problem: Problem

    def __check_init__(self) -> None:
        """Refuse what is no problem."""
        require_kind("problem", self.problem, Problem, "a metadescent.Problem; try Quadratic()")

    def sample(self, key: PRNGKeyArray) -> LogFunction:
        return LogFunction(self.problem.sample(key))
