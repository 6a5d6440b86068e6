"""What factors of time share: they count steps, and see nothing else.

g_t = c(t; p) · ∇_t,     t = 0, 1, …

`Pace` and `WarmUp` are two such c.
"""

from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Float

from metadescent.optimizers.base import Coordinatewise


class OfTime(Coordinatewise):
    """A factor that depends on the step alone; φ is a row p.

    Example:
        >>> import jax.numpy as jnp
        >>> class Fading(OfTime):
        ...     def factor(self, t):
        ...         return jnp.exp(-self.p[0] * t)
        >>> m = Fading(jnp.log(jnp.asarray([2.0])))
        >>> g, h = m.update(jnp.ones(()), m.init(jnp.ones(())))
        >>> float(g), round(float(m.update(jnp.ones(()), h)[0]), 3)
        (1.0, 0.5)
    """

    p: Float[Array, " parameters"]

    @abstractmethod
    def factor(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return c(t; p)."""

    def init_coordinate(self) -> Float[Array, ""]:
        """Return t = 0."""
        return jnp.zeros((), self.p.dtype)

    def update_coordinates(
        self, gradient: Float[Array, " n"], state: Float[Array, " n"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Scale n coordinates."""
        return self.update_array(gradient, state)

    def update_array(
        self, gradient: Float[Array, "*n"], state: Float[Array, "*n"]
    ) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
        return self.factor(state) * gradient, state + 1
